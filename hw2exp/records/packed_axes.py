"""Write and read ``packed/sweep.json``: the axes of a sweep, and a config for each program."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hw2exp.config.axes import Axes, Axis, with_data
from hw2exp.config.overrides import MOST_PACKED
from hw2exp.config.recorded import config_of_result
from hw2exp.config.resume import FREE
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.system import disk, regular_file
from hw2exp.system.problems import ConfigError, faults

LARGEST = 1 << 28  # bytes


class _Axis(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    lines: list[str]
    values: list[int | float] | None


class _Sweep(BaseModel):
    """The contents of ``sweep.json``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    axes: list[_Axis]
    configs: list[dict[str, Any]]


def write_axes(path: Path, axes: Axes, configs: Sequence[TrainConfig]) -> None:
    """Write the axes of a sweep, and the config of each program's first job.

    Args:
        path: the file.
        axes: the axes.
        configs: the configs.
    """
    values = {
        "axes": [asdict(axis) for axis in axes.axes],
        "configs": [config.model_dump(mode="json", exclude=FREE) for config in configs],
    }
    disk.write_together({path: json.dumps(values).encode()})


def _key_of(line: str) -> str:
    """Return the key or the group of an override, without Hydra's parser, which is slow."""
    return line.partition("=")[0].lstrip("+~/").partition("@")[0]


def read_axes(path: Path, shown: bool = False) -> tuple[Axes, list[TrainConfig]]:
    """Read the axes and the configs that :func:`write_axes` wrote; check that all jobs are valid.

    Args:
        path: the file.
        shown: whether the runs are only shown, so that choices without code are allowed.

    Raises:
        OSError: there is no such file.
        ValueError: the file is damaged.
        ConfigError: the configs are not of this version.
    """
    try:
        read = _Sweep.model_validate_json(regular_file.read(path, LARGEST))
    except ValidationError as error:
        raise ValueError(f"{path}: {faults(error)[0]}") from error
    axes = Axes([Axis(each.key, each.lines, each.values) for each in read.axes])
    sound = all(each.lines and len(each.told) == len(each.lines) for each in axes.axes)
    if not sound or not read.axes or prod(axes.shape) > MOST_PACKED:
        raise ValueError(f"{path}: axes: must have as many values as lines")
    if not all(_key_of(line) == each.key for each in axes.axes for line in each.lines):
        raise ValueError(f"{path}: axes: must have overrides of their keys")
    if len(read.configs) != len(axes) // axes.data_size:
        raise ValueError(f"{path}: configs: must be one for each program")
    configs = [config_of_result(values, shown) for values in read.configs]
    try:
        for number in axes.samples():
            job = with_data(configs[axes.program(number)], axes.data(number))
            validate(job.model_dump(), shown)
    except (ConfigError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: axes: {error}") from error
    return axes, configs
