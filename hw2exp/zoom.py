"""Run the command ``python -m hw2exp.zoom``: run a map's sweep again on a smaller window.

The new sweep differs from the first in the values of the map's two numbers only.
"""

import math
import os
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.folder import check_there, typed_path
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo

if TYPE_CHECKING:
    from hw2exp.records.map_axes import MapAxis
    from hw2exp.records.packed import PackedSweep

DIGITS = 9
"""Significant digits of a window's ends, more than single precision has."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: that of ``python -m hw2exp.train``, which this process becomes; 0 if the
        command is only printed; 1 if a file can't be read; 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        words = _words(Path(arguments.folder), arguments.around, arguments.factor, arguments.side)
        words += _sweep_dir(arguments.out)
    except (ConfigError, OSError) as error:
        return failed(error)
    imports = [f"--import={name}" for name in getattr(arguments, "import") or ()]
    command = ["-m", "hw2exp.train", "-m", *imports, *words]
    echo(shlex.join(["python", *command]))
    if not arguments.dry_run:
        os.execv(sys.executable, [sys.executable, *command])
    return 0


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.zoom",
        "Run the sweep of a map again on a window around a point: print the command that does so, "
        "and run it. All other overrides that decide what is computed are kept, and whether the "
        "records hold parameters; those that decide where and how it runs are not.",
    )
    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="of a sweep with packed records"
    )
    parser.add_argument(
        "--around", type=float, nargs=2, metavar=("X", "Y"), required=True,
        help="the middle of the window: a value of the map's horizontal axis, and one of its "
        "vertical axis; near the map's edge the window ends there",
    )  # fmt: skip
    parser.add_argument(
        "--factor", type=float, default=10.0, metavar="F",
        help="how many times smaller the window is on each axis, by default 10; on a logarithmic "
        "axis the logarithm of the range is divided",
    )  # fmt: skip
    parser.add_argument(
        "--side", type=int, metavar="N", help="values on each axis; by default as many as before"
    )
    parser.add_argument(
        "--out",
        type=typed_path,
        metavar="DIR",
        help="the new sweep's folder, by default outputs/sweeps/DATE_TIME",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print the command")
    return parser


def _sweep_dir(out: str | None) -> list[str]:
    from hw2exp.config.overrides import assignment

    return [] if out is None else [assignment("hydra.sweep.dir", out)]


def _words(folder: Path, around: Sequence[float], factor: float, side: int | None) -> list[str]:
    """Return the overrides of a sweep on a window.

    Args:
        folder: the folder of the sweep.
        around: the middle of the window.
        factor: how many times smaller the window is.
        side: the number of values on each axis, None for as many as before.

    Raises:
        ConfigError: the sweep is no map with packed records, or has no such window.
    """
    from hw2exp.records.packed import PackedSweep

    check_there(folder, str(folder))
    sweep = PackedSweep.named(folder)
    axes = _axes(sweep)
    others = len(sweep.axes) // (len(axes[0].values) * len(axes[1].values))
    if problems := [*_problems(axes, around, factor, side, others)]:
        raise ConfigError(problems)
    windows = {
        axis.key: _window(axis, middle, factor, side or len(axis.values))
        for axis, middle in zip(axes, around, strict=True)
    }
    return [*_overrides(sweep, windows), "records=packed"]


def _axes(sweep: "PackedSweep") -> "tuple[MapAxis, MapAxis]":
    """Return the axes of a sweep's map.

    Raises:
        ConfigError: the sweep makes no map, or an axis holds whole numbers or is uneven.
    """
    from hw2exp.records.map_axes import LEAST, axes_of
    from hw2exp.records.outcomes import planned

    swept = planned(sweep)
    axes = axes_of(swept)
    if axes is None:
        wanted = f"two numbers with {LEAST} values each or more"
        raise ConfigError([f"{sweep.folder}: makes no map; a sweep must be over {wanted}"])
    problems = [
        f"{axis.key}: {problem}; a zoom needs values between its values, evenly spaced"
        for axis in axes
        for problem in [
            "holds whole numbers" * (not swept[axis.key].dtype.is_float()),
            "is unevenly spaced" * (axis.spacing == "uneven"),
        ]
        if problem
    ]
    if problems:
        raise ConfigError(problems)
    return axes


def _problems(
    axes: "Sequence[MapAxis]",
    around: Sequence[float],
    factor: float,
    side: int | None,
    others: int,
) -> Iterator[str]:
    """Yield the problems of a window; ``others`` is the number of jobs in each of its cells."""
    from hw2exp.config.overrides import MOST_PACKED
    from hw2exp.records.map_axes import LEAST

    for axis, middle in zip(axes, around, strict=True):
        first, last = axis.values[[0, -1]]
        if not first <= middle <= last:
            yield f"--around: {axis.key}={middle:g}: must be {first:g} to {last:g}"
    if not (factor > 1 and math.isfinite(factor)):
        yield f"--factor={factor:g}: must be above 1"
    if side is not None and side < LEAST:
        yield f"--side={side}: must be {LEAST} or more"
    if side is not None and (jobs := side * side * others) > MOST_PACKED:
        yield f"--side={side}: makes {jobs:,} jobs; at most {MOST_PACKED:,}"


def _window(axis: "MapAxis", middle: float, factor: float, count: int) -> str:
    """Write the values of a window on an axis; near the axis's ends, the window ends there.

    Args:
        axis: the axis.
        middle: the middle of the window.
        factor: how many times smaller the window is.
        count: the number of values.

    Raises:
        ConfigError: values are equal in single precision, in which networks are trained.
    """
    import numpy as np

    logarithmic = axis.spacing == "geometric"
    first, last, at = np.array([*axis.values[[0, -1]], middle])
    if logarithmic:
        first, last, at = np.log([first, last, at])
    half = (last - first) / factor / 2
    ends = np.array([-half, half]) + np.clip(at, first + half, last - half)
    low, high = (f"{end:.{DIGITS}g}" for end in (np.exp(ends) if logarithmic else ends))
    spaced = np.geomspace if logarithmic else np.linspace
    if len(np.unique(spaced(float(low), float(high), count).astype(np.float32))) < count:
        problem = f"{count} values of {axis.key} from {low} to {high} are equal in single precision"
        raise ConfigError([f"--factor={factor:g}: {problem}; must be smaller"])
    return f"{'logspace' if logarithmic else 'linspace'}({low},{high},{count})"


def _overrides(sweep: "PackedSweep", windows: Mapping[str, str]) -> Iterator[str]:
    """Yield the overrides of a sweep, with other values for some keys.

    Keys that decide where and how runs are trained are left out, because the file that they stand
    in is untrusted, and some of them run programs or open connections.
    """
    from hw2exp.config.resume import FREE
    from hw2exp.config.schema import TrainConfig

    kept = {"experiment", *TrainConfig.model_fields} - FREE | {"packed_parameters"}
    for axis in sweep.axes.axes:
        key = axis.lines[0].partition("=")[0]
        if axis.key.partition(".")[0] not in kept:
            continue
        if axis.key in windows:
            yield f"{key}={windows[axis.key]}"
        else:
            yield f"{key}={','.join(line.partition('=')[2] for line in axis.lines)}"


if __name__ == "__main__":
    process(main)
