"""Compose and check the jobs of a command's overrides."""

import os
from collections.abc import Iterable, Sequence, Set
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path

from hydra.core.override_parser.types import Override

from hw2exp.config.composition import Composition
from hw2exp.config.grid import Grid
from hw2exp.config.job import Job
from hw2exp.config.overrides import MOST_JOBS, axes_of, extremes, parse_lines, too_many
from hw2exp.config.packing import ENUMERATING, packed_grid
from hw2exp.config.parsing import key_of
from hw2exp.config.refusals import one_error
from hw2exp.system.problems import ConfigError

LOGGERS = {"mlflow": "MLflow", "wandb": "Weights & Biases"}
"""The loggers that need a package of the same name, with the names of the tools."""


def sweep_jobs(
    overrides: Sequence[Override], fixed: Job, composition: Composition
) -> tuple[list[Job], Grid | None]:
    """Compose the jobs of a sweep.

    Args:
        overrides: all overrides.
        fixed: the job of the overrides that all jobs share.
        composition: the composer.

    Returns:
        The jobs; with packed records, samples of the jobs to check, and the grid of all.

    Raises:
        ConfigError: the sweep is impossible.
    """
    if fixed.base.hydra["job"]["chdir"] and fixed.choice("hydra/launcher") == "fleet":
        raise ConfigError(["hydra.job.chdir=true: not in a sweep, whose jobs share a process"])
    of_hydra = [str(o.input_line) for o in overrides if o.is_hydra_override()]
    mine = [o for o in overrides if not o.is_hydra_override()]
    mine = [*_in_config_file(fixed, composition, {key_of(o) for o in mine}), *mine]
    lines: Iterable[Sequence[str]] = [fixed.overrides]
    if fixed.choice("hydra/sweeper") in ENUMERATING:
        grid = packed_grid(mine, of_hydra, fixed, composition)
        if grid is not None:
            return [grid.job(number) for number in grid.axes.samples()], grid
        if problems := too_many(mine, MOST_JOBS):
            raise ConfigError(problems)
        lines = product(*axes_of(mine))
    else:
        _check_ends(mine, [*of_hydra, *fixed.overrides], composition)
    jobs = [one_error(composition.job, [*of_hydra, *own], n) for n, own in enumerate(lines)]
    _check_folders(jobs)
    return jobs, None


def _in_config_file(fixed: Job, composition: Composition, typed: Set[str]) -> list[Override]:
    """Return the overrides of a sweep in a config file, ``hydra.sweeper.params``.

    Args:
        fixed: the job of the shared overrides.
        composition: the composer.
        typed: the keys of the typed overrides, which count instead of the file's.
    """
    found = fixed.base.hydra["sweeper"].get("params") or {}
    params = {key: values for key, values in found.items() if key.lstrip("+/") not in typed}
    described, problems = parse_lines([f"{k}={v}" for k, v in params.items()], composition)
    problems += [
        f"hydra.sweeper.params.{o.input_line}: can't be swept; must be a key of this program"
        for o in described
        if o.is_hydra_override()
    ]
    if problems:
        raise ConfigError(problems)
    if found and fixed.choice("hydra/sweeper") in ENUMERATING:
        lines = (str(o.input_line).partition("=") for o in described)
        fixed.base.set_sweep({key: values for key, _, values in lines})
    return described


def _check_ends(overrides: Sequence[Override], fixed: list[str], composition: Composition) -> None:
    """Check jobs at the ends of the spaces from which a sweeper will choose values."""
    spaces = [o for o in overrides if o.is_sweep_override()]
    lines = chain.from_iterable(extremes(space) for space in spaces)
    try:
        check_configs([one_error(composition.job, [*fixed, line], 0) for line in lines])
    except ConfigError as error:
        raise ConfigError(_with_integers(error.problems, spaces)) from error


def _with_integers(problems: Sequence[str], spaces: Sequence[Override]) -> list[str]:
    """Add the right syntax to the problems of integer keys that have an interval of floats."""
    hinted = list(problems)
    for space in spaces:
        key, _, interval = str(space.input_line).partition("=")
        if space.is_interval_sweep():
            hinted = [
                f"{problem}; type {key}=int({interval})"
                if problem.startswith(f"{space.key_or_group}=") and "an integer" in problem
                else problem
                for problem in hinted
            ]
    return hinted


def _check_folders(jobs: Sequence[Job]) -> None:
    """Refuse jobs whose folders are the same, or nested."""
    owners: dict[str, int | None] = {}
    reaching: dict[str, int | None] = {}  # by a job's folder and all its parents
    for job in jobs:
        name = os.path.normpath(one_error(getattr, job, "subfolder"))
        parents = [str(parent) for parent in Path(name).parents]
        sharing = [reaching[name]] if name in reaching else []
        sharing += [owners[parent] for parent in parents if parent in owners]
        if sharing:
            both = f"jobs {sharing[0]} and {job.number} would share it"
            raise ConfigError([f"hydra.sweep.subdir={name}: must differ from job to job; {both}"])
        owners[name] = job.number
        reaching |= dict.fromkeys([name, *parents], job.number)


def check_configs(jobs: Sequence[Job]) -> None:
    """Check the configs of all jobs.

    Raises:
        ConfigError: the configs have problems, each listed once for all jobs.
    """
    problems: dict[str, None] = {}
    for job in jobs:
        try:
            _ = job.config
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(problems)


def check_pruned(jobs: Sequence[Job], multirun: bool) -> None:
    """Refuse to prune unless jobs are trained as fleets, whose arms are compared.

    Raises:
        ConfigError: the command is no sweep, or its launcher knows no fleets.
    """
    names = dict.fromkeys(job.config.prune.name for job in jobs if job.config.prunes)
    launcher = jobs[0].choice("hydra/launcher")
    if names and not multirun:
        raise ConfigError(
            [f"prune={name}: compares the arms of a sweep; add -m, or use none" for name in names]
        )
    if names and launcher != "fleet":
        why = f"hydra/launcher={launcher} trains each job alone; must be fleet"
        raise ConfigError([f"prune={name}: {why}" for name in names])


def check_loggers(jobs: Sequence[Job]) -> None:
    """Refuse loggers whose package is not installed.

    Raises:
        ConfigError: there are such loggers.
    """
    wanted = dict.fromkeys(job.config.logger.name for job in jobs)
    if missing := [name for name in wanted if name in LOGGERS and find_spec(name) is None]:
        raise ConfigError(
            f"logger={name}: needs {LOGGERS[name]}; pip install 'hw2exp[{name}]'"
            for name in missing
        )
