"""From a command line to checked configs, before any folder exists. The part that knows Hydra."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hw2exp.config.arguments import inspects, parse_arguments
from hw2exp.config.choices import ADDED_CHOICES, CHOICES
from hw2exp.config.folder import check_folder
from hw2exp.config.problems import ConfigError, show, unknown_choice
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate

CONFIG_MODULE = "hw2exp.configs"
CONFIG_NAME = "train"
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
        inspects: it only asks Hydra to show something.
        folder: where a single run, or all jobs of a sweep, would go.
        explicit_folder: the folder was typed, and is not the default.
    """

    jobs: list[Job]
    multirun: bool
    inspects: bool
    folder: Path
    explicit_folder: bool

    @property
    def folder_key(self) -> str:
        """The key that says where results go."""
        return f"hydra.{'sweep' if self.multirun else 'run'}.dir"


def read(argv: Sequence[str]) -> Command:
    """Check a whole command line without creating anything.

    Args:
        argv: the arguments, without the program's name.

    Raises:
        ConfigError: with a line for every problem.
    """
    arguments = parse_arguments(argv)
    with _hydra(arguments.config_dir):
        overrides, problems = _parse(arguments.overrides)
        sweeps = [o.input_line for o in overrides if o.is_sweep_override()]
        if sweeps and not arguments.multirun:
            problems += [f"{line}: several values need --multirun (-m)" for line in sweeps]
            overrides = [o for o in overrides if not o.is_sweep_override()]
        try:
            jobs = list(_jobs(overrides)) if arguments.multirun else [_job(overrides)]
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        folder = _folder(fixed, "sweep" if arguments.multirun else "run")
    command = Command(jobs, bool(arguments.multirun), inspects(arguments), *folder)
    check_folder(command.folder, command.folder_key, command.explicit_folder)
    return command


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


def _parse(lines: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Parse overrides, and check those that choose from a group.

    Returns:
        What can be composed, and the problems; keys of a choice that is wrong are left out, since
        nobody knows what they would mean.
    """
    parser = _parser()
    overrides, problems, unknown = [], [], set()
    for line in lines:
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            problems.append(f"{line}: not an override; {_one_line(error)}")
            continue
        wrong = _wrong_choices(override)
        if wrong:
            unknown.add(override.key_or_group.lstrip("/"))
        problems += wrong
        overrides.append(override)
    kept = [o for o in overrides if o.key_or_group.lstrip("/").split(".")[0] not in unknown]
    return kept, problems


def _wrong_choices(override: Override) -> list[str]:
    group = override.key_or_group.lstrip("/")
    owner, _, leaf = group.partition(".")
    if leaf == "name" and owner in CHOICES:
        return [f"{group}={show(override.value())}: is set by the choice; type {owner}=…"]
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
    batches = _one_error(BasicSweeper.split_arguments, overrides, max_batch_size=None)
    if not batches or not batches[0]:
        empty = [o.input_line for o in overrides if o.is_sweep_override()]
        raise ConfigError(f"{line}: is empty; a sweep needs at least one value" for line in empty)
    for lines in batches[0]:
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


def _folder(lines: Sequence[str], kind: str) -> tuple[Path, bool]:
    """Where the results would go, and whether that was typed."""
    config = _one_error(compose, CONFIG_NAME, overrides=list(lines), return_hydra_config=True)
    folder = Path(str(_one_error(lambda: config.hydra[kind].dir)))
    return folder, any(line.lstrip("+").startswith(f"hydra.{kind}.dir=") for line in lines)


def _one_error(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call into Hydra, with what it refuses as one line."""
    try:
        return function(*args, **kwargs)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError([_one_line(error)]) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
