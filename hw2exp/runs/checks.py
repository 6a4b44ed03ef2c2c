"""Check configs by the code that they choose, before a run's folder is made."""

from collections.abc import Sequence

import torch

from hw2exp.config.registry import equations
from hw2exp.config.schema import TrainConfig
from hw2exp.models.cell import Cell, gains_of
from hw2exp.models.hyperparameters import build
from hw2exp.runs.own_steps import check_own_steps
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
