"""Turn a command line into checked configs, before any folder exists."""

import argparse
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override

from hw2exp.config.arguments import inspects, parse_arguments, words_of
from hw2exp.config.composition import Composition
from hw2exp.config.folder import at_home, check_folder, check_inside, check_subfolder
from hw2exp.config.grid import Grid
from hw2exp.config.hydra_session import hydra_started
from hw2exp.config.job import Job, Plain
from hw2exp.config.jobs import check_configs, check_loggers, check_pruned, sweep_jobs
from hw2exp.config.overrides import parse_lines
from hw2exp.config.packing import ENUMERATING
from hw2exp.config.refusals import one_error
from hw2exp.config.resume import check_resumed
from hw2exp.config.schema import TrainConfig
from hw2exp.config.trusted import (
    unnamed,
    untrusted_directives,
    untrusted_node,
)
from hw2exp.config.unused import unused
from hw2exp.system.problems import ConfigError


@dataclass(frozen=True)
class Command:
    """A checked command line.

    Args:
        jobs: the jobs; if a sweeper chooses the values, one job without them; with packed records,
            samples of all jobs.
        grid: all jobs of a sweep with packed records.
        multirun: whether the command is a sweep.
        inspects: whether the command only asks Hydra to show something.
        folder: the folder of the single run, or of the sweep.
        folder_key: the key that names the folder.
        explicit_folder: whether the user typed the folder; else it is the default.
        resumes: whether the folder is that of an earlier run or sweep, to be resumed.
        shared: the part that all jobs share; for a single run, its job.
        overrides: all overrides with their checked values.
        words: the words for Hydra: flags first, then the overrides.
        loader: Hydra's loader, which has composed the jobs.
    """

    jobs: list[Job]
    grid: Grid | None
    multirun: bool
    inspects: bool
    folder: Path
    folder_key: str
    explicit_folder: bool
    resumes: bool
    shared: Job
    overrides: list[Override]
    words: list[str]
    loader: ConfigLoader

    @property
    def configs(self) -> list[TrainConfig]:
        """Return the configs of all jobs; of a grid, one for each program."""
        jobs = self.jobs if self.grid is None else self.grid.templates
        return [job.config for job in jobs]

    @property
    def launcher(self) -> str | None:
        """Return the choice of Hydra's launcher."""
        return self.shared.choice("hydra/launcher")

    @property
    def jobs_known(self) -> bool:
        """Return whether all jobs are known before the sweep; else a sweeper makes them."""
        return not self.multirun or self.shared.choice("hydra/sweeper") in ENUMERATING


def read(argv: Sequence[str]) -> Command:
    """Check a whole command line without creating anything.

    Args:
        argv: the arguments, without the program's name.

    Raises:
        ConfigError: the command has problems, one line each.
    """
    arguments = parse_arguments(argv)
    multirun = bool(arguments.multirun)
    key = f"hydra.{'sweep' if multirun else 'run'}.dir"
    shipped = _shipped(arguments) if arguments.config_dir is not None else None
    with hydra_started(arguments.config_dir) as composition:
        overrides, fixed, jobs, grid = _jobs(arguments, composition, shipped)
        typed = {override.key_or_group for override in overrides}
        folder, resumes = _folder(jobs, grid, fixed, key, typed, shipped)
    arguments.overrides = [str(override.input_line) for override in overrides]
    return Command(
        jobs=jobs,
        grid=grid,
        multirun=multirun,
        inspects=inspects(arguments),
        folder=folder,
        folder_key=key,
        explicit_folder=key in typed and not resumes,
        resumes=resumes,
        shared=fixed,
        overrides=overrides,
        words=words_of(arguments),
        loader=composition.loader,
    )


def _shipped(arguments: argparse.Namespace) -> Plain:
    """Compose Hydra's node without the files of ``--config-dir``."""
    with hydra_started(None) as composition:
        overrides, _ = parse_lines(arguments.overrides, composition)
        lines = [str(o.input_line) for o in overrides if o.is_hydra_override()]
        return one_error(composition.job, lines).base.hydra


def _jobs(
    arguments: argparse.Namespace, composition: Composition, shipped: Plain | None
) -> tuple[list[Override], Job, list[Job], Grid | None]:
    """Return the overrides, the part that all jobs share, the jobs, and their grid; all checked."""
    multirun = bool(arguments.multirun)
    overrides, problems = parse_lines(arguments.overrides, composition)
    wrong = unused(overrides, composition, multirun, shows=inspects(arguments))
    overrides = [o for o in overrides if o.input_line not in wrong]
    problems += [f"{line}: {why}" for line, why in wrong.items()]
    try:
        shared = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        fixed = one_error(composition.job, shared, 0 if multirun else None)
        jobs, grid = sweep_jobs(overrides, fixed, composition) if multirun else ([fixed], None)
        _check_trust([fixed, *jobs], shipped)
        _check_launcher(fixed, arguments.config_dir)
        check_configs(jobs)
        if not inspects(arguments):
            _check_executor(jobs[0], multirun, {o.key_or_group for o in overrides})
            check_pruned(jobs, multirun)
            check_loggers(jobs)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return overrides, fixed, jobs, grid


def _check_trust(jobs: Sequence[Job], shipped: Plain | None) -> None:
    problems: dict[str, None] = {}
    for base in {id(job.base): job.base for job in jobs}.values():
        problems |= dict.fromkeys(unnamed(base.hydra))
        if shipped is not None:
            problems |= dict.fromkeys(untrusted_node(base.hydra, shipped))
    if problems:
        raise ConfigError(problems)


def _check_launcher(job: Job, config_dir: str | None) -> None:
    """Refuse launchers but fleet for unknown jobs: they would trust the jobs' logging config."""
    sweeper, launcher = job.choice("hydra/sweeper"), job.choice("hydra/launcher")
    if config_dir is not None and sweeper not in ENUMERATING and launcher != "fleet":
        what = f"hydra/launcher={launcher} with --config-dir={config_dir}"
        raise ConfigError(
            [f"{what}: not where hydra/sweeper={sweeper} makes up the jobs; use fleet"]
        )


def _check_executor(job: Job, multirun: bool, typed: Set[str]) -> None:
    """Refuse an executor for a command that it can't run: executors take the fleets of a sweep."""
    what, launcher = f"executor={job.config.executor.name}", job.choice("hydra/launcher")
    if what == "executor=local":
        return
    if not multirun:
        raise ConfigError([f"{what}: needs a sweep; add -m, or leave it out"])
    if launcher != "fleet":
        raise ConfigError([f"{what}: not with hydra/launcher={launcher}; must be fleet"])
    executor: Any = job.config.executor
    wrong = untrusted_directives(getattr(executor, "directives", []))
    if wrong and "executor.directives" not in typed:
        raise ConfigError(wrong)


def _folder(
    jobs: Sequence[Job],
    grid: Grid | None,
    fixed: Job,
    key: str,
    typed: Set[str],
    shipped: Plain | None,
) -> tuple[Path, bool]:
    """Return the checked folder of the results, and whether its runs are to be resumed."""
    explicit = key in typed
    folder = _composed_folder(fixed, key, None if explicit else shipped)
    resumed = jobs[0].config.resume
    if resumed and "resume" not in typed:  # set by a config file
        check_inside(Path(), Path(resumed), f"resume={resumed}")
    same = resumed is not None and Path(resumed).absolute() == folder.absolute()
    if resumed is None or (explicit and same and not folder.exists()):  # resume begins there
        _check_jobs_folders(jobs, folder)
        check_folder(folder, key, explicit)
        return folder, False
    _check_jobs_folders(jobs, Path(resumed))
    check_resumed(Path(resumed), jobs, folder if explicit else None, grid is not None)
    return Path(resumed), True


def _composed_folder(job: Job, key: str, shipped: Plain | None) -> Path:
    """Return the folder; refuse one outside its literal part, or outside the current folder.

    Interpolated values may not lead out of the part before them. A folder that a file of
    ``--config-dir`` sets may not lie outside the current folder.
    """
    mode = key.split(".")[1]
    written = str(job.base.hydra[mode]["dir"])
    folder = Path(at_home(one_error(job.select, key), f"{key}="))
    if "${" in written:
        literal = written.partition("${")[0].rpartition("/")[0]
        check_inside(Path(literal), folder, f"{key}={folder}")
    if shipped is not None and written != str(shipped[mode]["dir"]):
        check_inside(Path(), folder, f"{key}={folder}")
    return folder


def _check_jobs_folders(jobs: Sequence[Job], folder: Path) -> None:
    """Refuse folders of jobs that lie elsewhere, or of which a link makes two the same."""
    owners: dict[str, int] = {}
    for job in jobs:
        if job.number is not None:
            check_subfolder(folder, job.subfolder)
            other = owners.setdefault(os.path.realpath(folder / job.subfolder), job.number)
            if other != job.number:
                both = f"jobs {other} and {job.number} would share it"
                raise ConfigError([f"{folder / job.subfolder}: is a link; {both}"])
