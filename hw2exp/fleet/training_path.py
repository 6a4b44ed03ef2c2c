"""Choose the code that trains a run: compiled steps, or plain ones by closed form or autograd."""

from collections import Counter
from collections.abc import Sequence

from hw2exp.config.groups import AnyOrder
from hw2exp.config.job import Job
from hw2exp.config.registry import equations
from hw2exp.config.schema import TrainConfig
from hw2exp.kernels.choice import has_closed_form
from hw2exp.kernels.forms import pass_name
from hw2exp.optim.compiled import CLIPS, OPTIMIZERS
from hw2exp.records.run_dir import TrainingPath
from hw2exp.system.problems import counted


def training_path(config: TrainConfig, on_cpu: bool | None = None) -> tuple[TrainingPath, str]:
    """Return the path by which a run trains, and the choice that keeps it from compiled steps.

    Args:
        config: the config of the run.
        on_cpu: whether the run trains on the CPU; None: if its config has another device than cuda.
    """
    model, norm = config.model, config.norm.name
    optimizer, clip, regularizer = config.optimizer.name, config.clip.name, config.regularizer.name
    has_value = equations("regularizer", regularizer).has_value
    on_cuda = config.device == "cuda" if on_cpu is None else not on_cpu
    obstacles: tuple[tuple[bool, TrainingPath, str], ...] = (
        (on_cuda, "autograd", "device=cuda"),
        (not config.closed_form, "autograd", "closed_form=false"),
        (not has_closed_form(model, "none"), "autograd", f"model={model.name}"),
        (not has_closed_form(model, norm), "autograd", f"norm={norm} in {model.compiled}"),
        (has_value, "autograd", f"regularizer={regularizer}"),
        (regularizer != "none", "closed form", f"regularizer={regularizer}"),
        (not isinstance(config.task, AnyOrder), "closed form", f"task={config.task.name}"),
        (optimizer not in OPTIMIZERS, "closed form", f"optimizer={optimizer}"),
        (clip not in CLIPS, "closed form", f"clip={clip}"),
    )
    found = ((path, reason) for there, path, reason in obstacles if there)
    return next(found, ("compiled", ""))


def longest_kernel(config: TrainConfig) -> str:
    """Return the end of the name of the kernel that takes a run longest to compile."""
    by_autograd = training_path(config)[0] == "autograd"
    return "draw" if by_autograd else f"learn_{pass_name(config.model, config.norm.name)}"


def plain_steps(jobs: Sequence[Job]) -> str:
    """Return a line on how many jobs train by the plain step, and why; empty if none does.

    Args:
        jobs: the jobs.
    """
    counts = Counter(training_path(job.config)[1] for job in jobs)
    del counts[""]
    if not counts:
        return ""
    reasons = ", ".join(f"{reason} ({number})" for reason, number in counts.most_common())
    number = f"{counts.total()} of {counted(len(jobs), 'job')}"
    return f"  by the plain step, which is slower: {number}, because of {reasons}"
