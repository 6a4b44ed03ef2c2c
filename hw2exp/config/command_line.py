"""Turn a command line into checked configs, before any folder exists."""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override

from hw2exp.config.arguments import inspects, parse_arguments, words_of
from hw2exp.config.composition import Composition
from hw2exp.config.confinement import check_inside, check_subfolder, root_of
from hw2exp.config.folder import at_home, check_folder
from hw2exp.config.job import Job, Plain
from hw2exp.config.jobs import ENUMERATING, check_configs, fixed_job, sweep_jobs
from hw2exp.config.overrides import parse_lines
from hw2exp.config.refusals import one_error
from hw2exp.config.registry import ADDED_CHOICES
from hw2exp.config.repository import confined_configs
from hw2exp.config.resume import check_resumed
from hw2exp.config.trusted import trusted_resolvers, unnamed, untrusted_node
from hw2exp.config.unused import of_other_mode, set_twice
from hw2exp.system.problems import ConfigError

CONFIG_MODULE = "hw2exp.configs"
CONFIG_NAME = "train"
VERSION_BASE = "1.3"
JOB_NAME = "train"  # as Hydra names it after the module


@dataclass(frozen=True)
class Command:
    """A checked command line.

    Args:
        jobs: the jobs; if a sweeper chooses the values, one job without them.
        multirun: whether the command is a sweep.
        inspects: whether it only asks Hydra to show something.
        folder: the folder of the single run, or of the sweep.
        explicit_folder: whether the folder was typed, not the default.
        resumes: whether the folder is of an earlier run or sweep, to be resumed.
        shared: the part that all jobs share; for a single run, its job.
        overrides: all overrides with their checked values.
        words: the words for Hydra: flags first, then the overrides.
        loader: Hydra's loader, which has composed the jobs.
    """

    jobs: list[Job]
    multirun: bool
    inspects: bool
    folder: Path
    explicit_folder: bool
    resumes: bool
    shared: Job
    overrides: list[Override]
    words: list[str]
    loader: ConfigLoader

    @property
    def folder_key(self) -> str:
        """Return the key that names the folder of the results."""
        return _folder_key(self.multirun)


def _folder_key(multirun: bool) -> str:
    return f"hydra.{'sweep' if multirun else 'run'}.dir"


def read(argv: Sequence[str]) -> Command:
    """Check a whole command line without creating anything.

    Args:
        argv: the arguments, without the program's name.

    Raises:
        ConfigError: the command has problems, one line each.
    """
    arguments = parse_arguments(argv)
    multirun = bool(arguments.multirun)
    shipped = _shipped(arguments) if arguments.config_dir is not None else None
    with _hydra(arguments.config_dir) as composition:
        overrides, problems = parse_lines(arguments.overrides, composition)
        wrong = _wrong_sweeps(overrides, multirun)
        wrong |= set_twice(overrides, composition) if multirun else {}
        wrong |= {} if inspects(arguments) else of_other_mode(overrides, multirun)
        overrides = [o for o in overrides if o.input_line not in wrong]
        problems += [f"{line}: {why}" for line, why in wrong.items()]
        try:
            fixed = fixed_job(overrides, composition, multirun)
            composed = sweep_jobs(overrides, fixed, composition) if multirun else [fixed]
            _check_trust([fixed, *composed], shipped)
            _check_launcher(fixed, arguments.config_dir)
            check_configs(composed)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        key = _folder_key(multirun)
        explicit = any(override.key_or_group == key for override in overrides)
        resumed = composed[0].config.resume
        folder = _folder(fixed, key)
        if shipped is not None and not explicit:
            _check_files_folder(fixed.base.hydra, shipped, key, folder)
        if resumed and all(override.key_or_group != "resume" for override in overrides):
            check_inside(Path(), Path(resumed), f"resume={resumed}")  # set by a config file
        same = resumed is not None and Path(resumed).absolute() == folder.absolute()
        if explicit and same and not folder.exists():
            resumed = None  # both keys name a missing folder: begin there
        _check_jobs_folders(composed, folder if resumed is None else Path(resumed))
        if resumed is not None:
            check_resumed(Path(resumed), composed, folder if explicit else None)
    arguments.overrides = [str(override.input_line) for override in overrides]
    if resumed is None:
        check_folder(folder, key, explicit)
    return Command(
        jobs=composed,
        multirun=multirun,
        inspects=inspects(arguments),
        folder=folder if resumed is None else Path(resumed),
        explicit_folder=explicit and resumed is None,
        resumes=resumed is not None,
        shared=fixed,
        overrides=overrides,
        words=words_of(arguments),
        loader=composition.loader,
    )


def _shipped(arguments: argparse.Namespace) -> Plain:
    """Compose Hydra's node without the files of ``--config-dir``."""
    with _hydra(None) as composition:
        overrides, _ = parse_lines(arguments.overrides, composition)
        lines = [str(o.input_line) for o in overrides if o.is_hydra_override()]
        return one_error(composition.job, lines).base.hydra


def _check_trust(jobs: Sequence[Job], shipped: Plain | None) -> None:
    problems: dict[str, None] = {}
    for base in {id(job.base): job.base for job in jobs}.values():
        problems |= dict.fromkeys(unnamed(base.hydra))
        if shipped is not None:
            problems |= dict.fromkeys(untrusted_node(base.hydra, shipped))
    if problems:
        raise ConfigError(problems)


def _check_launcher(job: Job, config_dir: str | None) -> None:
    """Refuse other launchers for jobs not known yet: they would trust the jobs' logging config."""
    sweeper, launcher = job.choice("hydra/sweeper"), job.choice("hydra/launcher")
    if config_dir is not None and sweeper not in ENUMERATING and launcher != "fleet":
        what = f"hydra/launcher={launcher} with --config-dir={config_dir}"
        raise ConfigError(
            [f"{what}: not where hydra/sweeper={sweeper} makes up the jobs; use fleet"]
        )


def _folder(job: Job, key: str) -> Path:
    """Return the folder of the results; keep interpolated values below its literal part."""
    written = str(job.base.hydra[key.split(".")[1]]["dir"])
    folder = Path(at_home(one_error(job.select, key), f"{key}="))
    if "${" in written:
        check_inside(root_of(written), folder, f"{key}={folder}")
    return folder


def _check_files_folder(node: Plain, shipped: Plain, key: str, folder: Path) -> None:
    """Keep a folder that a file of ``--config-dir`` names below the current folder."""
    mode = key.split(".")[1]
    if node[mode]["dir"] != shipped[mode]["dir"]:
        check_inside(Path(), folder, f"{key}={folder}")


def _check_jobs_folders(jobs: Sequence[Job], folder: Path) -> None:
    """Refuse folders of jobs that lie elsewhere, or that a link makes one."""
    owners: dict[str, int] = {}
    for job in jobs:
        if job.number is not None:
            check_subfolder(folder, job.subfolder)
            other = owners.setdefault(os.path.realpath(folder / job.subfolder), job.number)
            if other != job.number:
                both = f"jobs {other} and {job.number} would share it"
                raise ConfigError([f"{folder / job.subfolder}: is a link; {both}"])


@contextmanager
def hydra_kept() -> Iterator[None]:
    """Restore the Hydra state of a caller that uses Hydra itself."""
    loaded, job = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    try:
        yield
    finally:
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = loaded, job


@contextmanager
def _hydra(config_dir: str | None) -> Iterator[Composition]:
    store_added_choices()
    GlobalHydra.instance().clear()
    with confined_configs(), initialize_config_module(CONFIG_MODULE, JOB_NAME, VERSION_BASE):
        loader: Any = GlobalHydra.instance().config_loader()
        if config_dir is not None:  # as in hydra.main, before the first look-up
            path = loader.get_search_path()
            folder = f"file://{Path(config_dir).absolute()}"
            path.prepend("command-line", folder, anchor=SearchPathQuery(provider="schema"))
            loader.repository.initialize_sources(path)
        with trusted_resolvers():
            yield Composition(
                loader,
                lambda lines: compose(CONFIG_NAME, overrides=list(lines), return_hydra_config=True),
            )


def store_added_choices() -> None:
    """Register the choices that a user's code added with Hydra."""
    for (group, name), defaults in ADDED_CHOICES.items():
        ConfigStore.instance().store(group=group, name=name, node=dict(defaults))


def _wrong_sweeps(overrides: Sequence[Override], multirun: bool) -> dict[str, str]:
    """Return the overrides that can't have several values, and why."""
    sweeps = [override for override in overrides if override.is_sweep_override()]
    if not multirun:
        return {
            str(o.input_line): "several values need a sweep: -m, or hw2exp.sweep from Python"
            for o in sweeps
        }
    return {
        str(override.input_line): f"one value for all jobs; {override.key_or_group} can't be swept"
        for override in sweeps
        if override.is_hydra_override() or override.key_or_group in ("dry_run", "resume")
    }
