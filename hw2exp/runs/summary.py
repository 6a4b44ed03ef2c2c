"""Print the start and the end of a run; format its numbers and the commands for the next steps."""

import math
import os
import re
import shlex
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from hw2exp.config.registry import ADDED_CHOICES
from hw2exp.config.run_files import CURVES, DIAGNOSTICS, METRICS, RESULT
from hw2exp.config.schema import TrainConfig
from hw2exp.records.run_dir import RunResult
from hw2exp.system.problems import counted
from hw2exp.system.terminal import clock, echo, relative, typed

PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)
"""A path without special characters of a shell or of Hydra."""

SPECIAL = re.compile(r"[.*+?^${}()|\[\]\\]")
"""Special characters of a regular expression."""

MOST_FOLDERS = 1000
"""The most folders that TensorBoard searches for runs within seconds."""

FILES = CURVES[0], RESULT, METRICS, DIAGNOSTICS


def print_start(
    config: TrainConfig, folder: Path, loss: float, accuracy: float, done: int = 0
) -> None:
    """Print a run's config, folder, and initial loss and accuracy.

    Args:
        config: the run's config.
        folder: the run folder.
        loss: mean loss of a large fresh batch before the first step.
        accuracy: accuracy on the same batch.
        done: steps already made, if the run is resumed.
    """
    begins = f"resumes after step {done}, started" if done else "starts"
    echo(
        f"{config.describe()} → {relative(folder)}\n"
        f"{begins} at loss {loss:.4f} ({config.task.initial_loss_text}), accuracy {accuracy:.3f}"
    )


def print_summary(config: TrainConfig, result: RunResult, folder: Path, root: Path) -> None:
    """Print a few lines about the end of a run, and its files.

    Args:
        config: the run's config.
        result: the run's result.
        folder: the run folder.
        root: the folder to resume: the sweep's, or the single run's.
    """
    initial, final, spikes = result.initial, result.final, result.spikes
    where = f" at step {result.diverged_at}" if result.diverged_at else ""
    above = sum(spike["above_initial"] for spike in spikes)
    steps = counted(result.step, "step")
    more = ""
    if spikes:
        largest = max(spike["loss"] for spike in spikes)
        more = f", of which {above} above the initial loss, the largest {largest:.4g}"
    written = [name for name in FILES if (folder / name).exists()]
    lines = [
        f"{result.status}{where} after {steps} in {clock(result.seconds)}",
        f"  started   loss {initial['loss']:.4f} ({config.task.initial_loss_text})  "
        f"accuracy {initial['accuracy']:.3f}",
        f"  ended     train loss {number(final['train_loss'])}  test loss "
        f"{number(final['test_loss'])}  test accuracy {number(final['test_accuracy'])}"
        f"{_tested(config, result)}",
        f"  solved    {_solved(config, result)}",
        f"  spikes    {len(spikes)}{more}",
        f"  look at   {relative(folder)}/ with {', '.join(written)}",
        f"  or run    {tensorboard_of_run(folder)}",
    ]
    ask = spikes or result.diverged_at
    if ask and result.status != "interrupted" and not ADDED_CHOICES:  # not for a user's cell
        which = "divergence"
        if not result.diverged_at:
            highest = max(range(len(spikes)), key=lambda place: float(spikes[place]["loss"])) + 1
            which = f"{highest}\n            about its highest spike"
        lines.append(f"  ask why   python -m hw2exp.anatomy {typed(folder)} --spike {which}")
    if result.status == "interrupted":
        lines.append(f"  resume    the same command with {resume_word(root)}")
    echo("\n".join(lines))


def _tested(config: TrainConfig, result: RunResult) -> str:
    """Return at which step a run was tested last, if it made more steps since.

    A run that diverges is not tested at that step any more.
    """
    last = result.step - (result.diverged_at is not None)
    if last != config.steps:
        last -= last % config.eval_every
    return f" (at step {last:,})" if 0 < last < result.step else ""


def _solved(config: TrainConfig, result: RunResult) -> str:
    """Return when a run solved its task, or say if its test passes were too few for that."""
    if result.solved_at is not None:
        unlearned = result.ends_solved is False and result.diverged_at is None
        return f"at step {result.solved_at:,}" + ", but its last test pass is below" * unlearned
    return f"no: {few}" if (few := config.too_few_tests) else "no"


def number(value: float | None) -> str:
    """Format a number; a missing one is a dash."""
    if value is None:
        return "–"
    return f"{value:.4g}" if math.isfinite(value) else "not finite"


def tensorboard_of_run(folder: Path) -> str:
    """Return the command that shows a run in TensorBoard under its name, and the address.

    TensorBoard names a run by its path below the served folder. The served folder itself is named
    ``.``, and has no metrics in HParams. So the command serves the parent folder, and the address
    filters out its other runs, unless TensorBoard would be slow because of too many folders.
    """
    absolute = Path(os.path.abspath(folder))
    above = absolute.parent
    if len(list(islice(os.walk(above), MOST_FOLDERS + 1))) > MOST_FOLDERS:
        return f"tensorboard --logdir {typed(folder)}"
    served = "." if above == Path.cwd() else typed(above)
    name = SPECIAL.sub(r"\\\g<0>", absolute.name)
    shown = quote(f"^{name}$", safe="")
    return (
        f"tensorboard --logdir {served}\n"
        f"            and open http://localhost:6006/?runFilter={shown}"
    )


def resume_word(folder: Path) -> str:
    """Return the override that resumes a run or a sweep, quoted for a shell."""
    path = str(relative(folder))
    if PLAIN_PATH.fullmatch(path):
        return f"resume={path}"
    from hw2exp.config.overrides import assignment  # imports Hydra

    word = assignment("resume", path)
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'
