"""From a command line to checked configs, before any folder exists. The part that knows Hydra."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hw2exp.config.choices import ADDED_CHOICES
from hw2exp.config.problems import ConfigError, unknown_choice
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate

CONFIG_MODULE = "hw2exp.configs"
CONFIG_NAME = "train"
RESULT = "result.json"
VERSION_BASE = "1.3"

Plain = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One run that a command asks for.

    Args:
        overrides: what distinguishes it, as typed.
        config: its checked config.
    """

    overrides: tuple[str, ...]
    config: TrainConfig


@dataclass(frozen=True)
class Command:
    """A checked command line.

    Args:
        jobs: the runs it asks for.
        multirun: whether it is a sweep.
        folder: where a single run, or all jobs of a sweep, would go.
    """

    jobs: list[Job]
    multirun: bool
    folder: Path


def read(argv: Sequence[str]) -> Command:
    """Check a whole command line without creating anything.

    Args:
        argv: the arguments, without the program's name.

    Raises:
        ConfigError: with a line for every problem.
    """
    arguments = _arguments(argv)
    with _hydra(arguments.config_dir):
        overrides = _parse(arguments.overrides)
        sweeps = [o.input_line for o in overrides if o.is_sweep_override()]
        if sweeps and not arguments.multirun:
            raise ConfigError(f"{line}: several values need --multirun (-m)" for line in sweeps)
        jobs = list(_jobs(overrides)) if arguments.multirun else [_job(overrides)]
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        return Command(jobs, bool(arguments.multirun), _folder(fixed, arguments.multirun))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError([f"{message}; see --help"])

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(list(argv))


@contextmanager
def _hydra(config_dir: str | None) -> Iterator[None]:
    store_added_choices()
    GlobalHydra.instance().clear()
    with initialize_config_module(CONFIG_MODULE, version_base=VERSION_BASE):
        if config_dir is not None:
            search_path = GlobalHydra.instance().config_loader().get_search_path()
            search_path.append("command-line", f"file://{Path(config_dir).absolute()}")
        _choices.cache_clear()
        _compose.cache_clear()
        yield


def store_added_choices() -> None:
    """Tell Hydra of the choices that a user's code added."""
    for (group, name), defaults in ADDED_CHOICES.items():
        ConfigStore.instance().store(group=group, name=name, node=dict(defaults))


@cache
def _choices(group: str) -> list[str]:
    """The choices of a group; none if there is no such group. A leading _ marks a fragment."""
    options = GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)
    return [name for name in options if not name.startswith("_")] if group else []


def _parser() -> OverridesParser:
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())


def _parse(lines: Sequence[str]) -> list[Override]:
    """Parse overrides, and check those that choose from a group."""
    parser = _parser()
    overrides, problems = [], []
    for line in lines:
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            problems.append(f"{line}: not an override; {_one_line(error)}")
            continue
        overrides.append(override)
        problems += _wrong_choices(override)
    if problems:
        raise ConfigError(problems)
    return overrides


def _wrong_choices(override: Override) -> list[str]:
    group = override.key_or_group.lstrip("/")
    if not _is_choice(override) or override.is_delete():
        return []
    sweep = override.is_sweep_override()
    values = list(override.sweep_iterator()) if sweep else [override.value()]
    optional = group == "experiment" or group.startswith("hydra")
    return [
        unknown_choice(group, value, _choices(group))
        for value in values
        if str(value) not in _choices(group) and not (value is None and optional)
    ]


def _is_choice(override: Override) -> bool:
    """Whether an override chooses from a group (all else sets a value)."""
    return bool(_choices(override.key_or_group.lstrip("/")))


def _jobs(overrides: list[Override]) -> Iterator[Job]:
    """Expand a sweep as Hydra's basic sweeper does; another sweeper makes its own jobs."""
    others = any(override.key_or_group == "hydra/sweeper" for override in overrides)
    if others:
        fixed = [override for override in overrides if not override.is_sweep_override()]
        yield _job(fixed)
        return
    parser = _parser()
    problems: dict[str, None] = {}
    for lines in _one_error(BasicSweeper.split_arguments, overrides, max_batch_size=None)[0]:
        try:
            yield _job(parser.parse_overrides(list(lines)))
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(problems)


def _job(overrides: list[Override]) -> Job:
    """Compose one job; choices are composed by Hydra once, plain values are put in afterwards."""
    mine = [o for o in overrides if not o.key_or_group.startswith("hydra")]
    simple = [o for o in mine if _is_plain(o)]
    rest = tuple(str(o.input_line) for o in mine if not _is_plain(o))
    raw = OmegaConf.create(_compose(rest))
    for override in simple:
        key, value = override.key_or_group, override.value()
        _one_error(OmegaConf.update, raw, key, value, merge=False, force_add=True)
    config = validate(_container(raw))
    return Job(tuple(str(o.input_line) for o in overrides), config)


def _is_plain(override: Override) -> bool:
    """Whether an override only sets a value, with nothing that Hydra would have to resolve."""
    return (
        not override.is_sweep_override()
        and not override.is_add()
        and not override.is_force_add()
        and not override.is_delete()
        and override.package is None
        and not _is_choice(override)
        and "${" not in str(override.input_line)
    )


@cache
def _compose(lines: tuple[str, ...]) -> Plain:
    return _container(_one_error(compose, CONFIG_NAME, overrides=list(lines)))


def _container(config: Any) -> Plain:
    plain = _one_error(OmegaConf.to_container, config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _folder(lines: Sequence[str], multirun: bool) -> Path:
    """Where the results will go; refused if results are there already."""
    config = _one_error(compose, CONFIG_NAME, overrides=list(lines), return_hydra_config=True)
    kind = "sweep" if multirun else "run"
    folder = Path(str(_one_error(lambda: config.hydra[kind].dir)))
    pattern = f"*/{RESULT}" if multirun else RESULT
    if folder.exists() and not folder.is_dir():
        raise ConfigError([f"hydra.{kind}.dir={folder}: is a file; must be a folder"])
    if any(folder.glob(pattern)):
        raise ConfigError([f"hydra.{kind}.dir={folder}: holds results; must be a new folder"])
    return folder


def _one_error(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call into Hydra, with what it refuses as one line."""
    try:
        return function(*args, **kwargs)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError([_one_line(error)]) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
