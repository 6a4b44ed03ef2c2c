"""Decide whether a sweep packs the records of its runs, or makes a folder for each run."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from hydra.core.override_parser.types import Override

from hw2exp.config.axes import Axes
from hw2exp.config.composition import Composition
from hw2exp.config.grid import Grid, axis_of
from hw2exp.config.job import Job
from hw2exp.config.overrides import MOST_JOBS, MOST_PACKED, axes_of, too_many
from hw2exp.config.refusals import one_error
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError

ENUMERATING = ("fleet", "basic")
"""Sweepers that enumerate every combination of the values, so that jobs are known beforehand."""

MANY = 2048
"""The number of jobs above which ``records=auto`` packs."""

MOST_PROGRAMS = 1024
"""Most programs: combinations of values in which the runs of a fleet can't differ."""

OF_CHECKPOINTS = ("checkpoint_every", "keep_checkpoints")
OF_FOLDERS = (*OF_CHECKPOINTS, "hydra.sweep.subdir")
"""Keys that mean nothing without a folder for each run."""


def packed_grid(
    overrides: Sequence[Override], of_hydra: Sequence[str], fixed: Job, composer: Composition
) -> Grid | None:
    """Return the grid of a sweep with packed records; None if each run gets a folder.

    Args:
        overrides: the overrides of the jobs.
        of_hydra: the overrides of Hydra's own node.
        fixed: the job of the overrides that are shared.
        composer: the composer of the templates.

    Raises:
        ConfigError: there are too many jobs, or the records are to be packed and can't be.
    """
    records, many = fixed.raw.get("records"), bool(too_many(overrides, MANY))
    if records != "packed" and not (records == "auto" and many):
        return None
    if problems := too_many(overrides, MOST_PACKED):
        raise ConfigError(problems)
    problems, grid = [*_needing_folders(overrides, of_hydra, fixed)], None
    each = zip(overrides, axes_of(overrides), strict=True)
    axes = Axes([axis_of(override, lines, composer) for override, lines in each])
    problems += [f"{axis.key} has a value twice" for axis in axes.axes if axis.repeats]
    if (programs := len(axes) // axes.data_size) > MOST_PROGRAMS:
        problems.append(f"fleets of {programs:,} programs; at most {MOST_PROGRAMS:,}")
    if problems:
        problems += _of_folders(fixed)
    else:
        grid = one_error(Grid.compose, axes, of_hydra, composer)
        problems += dict.fromkeys(why for job in grid.templates for why in _of_folders(job))
        if grid.interpolated:
            problems.append("values that refer to others by ${…} need a folder for each run")
    if problems and records == "packed":
        raise ConfigError(f"records=packed: {why}; or type records=folders" for why in problems)
    if problems and (folders := too_many(overrides, MOST_JOBS)):
        raise ConfigError(f"{folders[0]} with a folder each: {problem}" for problem in problems)
    return None if problems else grid


def _needing_folders(
    overrides: Sequence[Override], of_hydra: Sequence[str], fixed: Job
) -> Iterator[str]:
    """Yield the problems of a command that needs a folder for each run."""
    for group in ("hydra/launcher", "hydra/sweeper"):
        if (choice := fixed.choice(group)) != "fleet":
            yield f"{group}={choice} makes a folder for each run; must be fleet"
    if fixed.base.hydra.get("callbacks"):
        yield "hydra.callbacks are told of each run; must be empty"
    for line in [*(str(o.input_line) for o in overrides), *of_hydra]:
        if line.lstrip("+").partition("=")[0] in OF_FOLDERS:
            yield f"{line} is for runs with a folder each; leave it out"


def without_effect(grid: Grid) -> list[str]:
    """Return the values of a config file that mean nothing without a folder for each run.

    Typed ones are refused, or keep the folders.

    Args:
        grid: the jobs of a sweep with packed records.
    """
    shipped = load_yaml(Path(str(files("hw2exp.configs"))) / "train.yaml")
    found = ((key, job.config) for job in grid.templates for key in OF_CHECKPOINTS)
    values = ((key, getattr(config, key)) for key, config in found)
    return [*dict.fromkeys(f"{key}={own}" for key, own in values if own not in (0, shipped[key]))]


def _of_folders(job: Job) -> Iterator[str]:
    """Yield the problems of a config that needs a folder for each run."""
    own = job.raw.get("diagnostics")
    asked = own if isinstance(own, dict) else {}
    if any(asked.get(key) for key in asked if key.endswith("_every") or key == "spikes"):
        yield "diagnostics need a folder for each run; must be none"
    metric = job.raw.get("metric")
    if isinstance(metric, dict) and metric.get("name") != "none":
        yield "a metric needs a folder for each run; must be none"
    logger = job.raw.get("logger")
    if isinstance(logger, dict) and (name := logger.get("name")) != "none":
        yield f"logger={name} needs a folder for each run; must be none"
    if job.raw.get("plot") is True:
        yield "plot=true needs a folder for each run; must be auto or false"
