"""Check configs by the code that they choose, before a run's folder is made."""

import traceback
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from hw2exp.config.own_code import own_choices
from hw2exp.config.registry import equations
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.models.cell import Cell, gains_of
from hw2exp.models.hyperparameters import build
from hw2exp.system.problems import ConfigError
from hw2exp.tasks.chosen import task_of


def check_machine(configs: Sequence[TrainConfig]) -> None:
    """Refuse a device that this machine lacks, and all that :func:`check_code` refuses.

    Args:
        configs: the configs of the runs.

    Raises:
        ConfigError: a check failed; one line for every problem.
    """
    cuda = any(config.device == "cuda" for config in configs)
    lacks = ["device=cuda: there is no CUDA device; use device=cpu"]
    check_code(configs, lacks if cuda and not torch.cuda.is_available() else [])


def check_code(configs: Sequence[TrainConfig], known: Sequence[str] = ()) -> None:
    """Refuse a norm or a clip that the cell does not support, and what `check_own_steps` refuses.

    Args:
        configs: the configs.
        known: lines about other problems.

    Raises:
        ConfigError: there are problems; one line for each.
    """
    problems = dict.fromkeys(known)
    for config in configs:
        model, norm, clip = config.model.name, config.norm.name, config.clip.name
        needs_heads = equations("clip", clip).needs_scores
        if norm == "none" and not needs_heads:
            continue
        cell: Cell = equations("model", model)(config.model, len(task_of(config.task).symbols))
        if norm != "none" and not gains_of(cell, build("norm", [config.norm])):
            problems[f"norm={norm}: model={model} names no terms for it; use norm=none"] = None
        if needs_heads and not cell.heads():
            problems[f"clip={clip}: model={model} names no heads for it; use clip=none"] = None
    if problems:
        raise ConfigError(problems)
    check_own_steps(configs)


def check_own_steps(configs: Iterable[TrainConfig]) -> None:
    """Refuse a user's choices if a step fails, or differs between a run alone and in a fleet.

    Each set of choices is tried once.

    Args:
        configs: the configs of the runs.

    Raises:
        ConfigError: a step fails, or a choice mixes replicas; one line for each set of choices.
    """
    sets = {tuple(own): config for config in configs if (own := own_choices([config]))}
    with torch_as_known():
        found = [_problem(config, ", ".join(own)) for own, config in sets.items()]
    if problems := [problem for problem in found if problem]:
        raise ConfigError(problems)


def _problem(config: TrainConfig, own: str) -> str | None:
    """Return the problem of a run's first step, or None.

    Args:
        config: the run's config.
        own: the user's choices in it, for the message.
    """
    other = config.model_copy(update={"seed": config.seed ^ 1})
    try:
        alone = Fleet([config], compiled=False)
        both = Fleet([config, other], compiled=False)
        for fleet in (alone, both):
            train_step(fleet, 1)
    except ConfigError:
        raise
    except Exception as error:  # from the user's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"{own}: a step fails: {what} ({last.filename}, line {last.lineno})"
    of_both = both.state.tensors()
    for name, tensor in alone.state.tensors().items():
        a, b = tensor[0].numpy(), of_both[name][0].numpy()
        if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            return (
                f"{own}: a run's step is not the same alone and in a fleet, in {name}; "
                "nothing may be computed over R, the first axis"
            )
    return None
