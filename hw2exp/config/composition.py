"""Configs of many jobs: Hydra composes each set of choices once, plain values are put in after.

Hydra takes as long for a job that differs in a seed as for one that differs in everything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

Plain = dict[str, Any]
PARSER = OverridesParser.create()


@cache
def parse(line: str) -> Override:
    """Parse an override; each line once, since the parser is slow.

    Args:
        line: the override, as typed.
    """
    return PARSER.parse_override(line)


def put(plain: Plain, key: str, value: Any) -> Plain:
    """Set a value in a copy of a nested dict, which shares with it what is not on the way.

    Args:
        plain: the dict.
        key: the dotted key.
        value: the value.
    """
    head, _, rest = key.partition(".")
    if rest:
        below = plain.get(head)
        value = put(below if isinstance(below, dict) else {}, rest, value)
    return {**plain, head: value}


@dataclass(frozen=True, eq=False)
class Base:
    """What Hydra composed, for all jobs that differ from it in plain values only.

    Args:
        full: Hydra's config, its own node included.
        plain: the values as they were written, Hydra's node left out.
        hydra: those of Hydra's node.
    """

    full: DictConfig
    plain: Plain
    hydra: Plain
    _scratch: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = field(default_factory=dict)

    @cached_property
    def interpolated(self) -> bool:
        """Whether a value depends on another one."""
        return "${" in str(self.plain)

    def scratch(self, keys: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        """Copies to set these keys in, one job after the other: copying takes long.

        Args:
            keys: all that will be set.

        Returns:
            One with Hydra's node, and one as a job sees it, without.
        """
        if keys not in self._scratch:
            seen = deepcopy(self.full)
            with open_dict(seen):
                del seen["hydra"]
            self._scratch[keys] = deepcopy(self.full), seen
        return self._scratch[keys]


@dataclass(frozen=True, eq=False)
class ComposedJob:
    """A job's config, and its place among the jobs of a sweep.

    Args:
        base: what Hydra composed.
        values: what is put into it, by dotted key.
        number: of the job in its sweep; none for a single run.
        overrides: what was typed for it, Hydra's own left out.
    """

    base: Base
    values: Mapping[str, Any]
    number: int | None
    overrides: tuple[str, ...]

    @cached_property
    def raw(self) -> Plain:
        """The values as they were written, Hydra's node left out."""
        plain = self.base.plain
        for key, value in self.values.items():
            plain = put(plain, key, value)
        return plain

    @cached_property
    def config(self) -> Plain:
        """The values, Hydra's node left out."""
        if not self.base.interpolated:
            return self.raw
        full, seen = self._scratch()
        with current(full):
            resolved = OmegaConf.to_container(seen, resolve=True)
        assert isinstance(resolved, dict)
        return {str(key): value for key, value in resolved.items()}

    def full(self) -> DictConfig:
        """The config that Hydra itself would compose, its own node included."""
        return self._with_hydra(self._with_values(deepcopy(self.base.full)))

    def choice(self, group: str) -> str | None:
        """What a group was set to.

        Args:
            group: the group.
        """
        chosen: str | None = self.base.hydra["runtime"]["choices"].get(group)
        return chosen

    def select(self, key: str) -> str:
        """One of Hydra's own values, as a text.

        Args:
            key: its dotted key.
        """
        written: Any = {"hydra": self.base.hydra}
        for name in key.split("."):
            written = written[name]
        if written == "${hydra.job.num}" and self.number is not None:  # a job's default folder
            return str(self.number)
        if "${" not in str(written):
            return str(written)
        full, _ = self._scratch()
        with current(full):
            return str(OmegaConf.select(full, key, throw_on_missing=True))

    @property
    def folder(self) -> Path:
        """Where Hydra puts the job of a sweep."""
        return Path(self.select("hydra.sweep.dir"), self.select("hydra.sweep.subdir"))

    @property
    def override_dirname(self) -> str:
        """Hydra's name for the job, made of its overrides."""
        style = self.base.hydra["job"]["config"]["override_dirname"]
        kept = [o for o in self.overrides if parse(o).key_or_group not in style["exclude_keys"]]
        text: str = style["item_sep"].join(sorted(kept))
        return text.replace("=", style["kv_sep"])

    def _scratch(self) -> tuple[DictConfig, DictConfig]:
        full, seen = self.base.scratch(tuple(self.values))
        return self._with_hydra(self._with_values(full)), self._with_values(seen)

    def _with_values(self, config: DictConfig) -> DictConfig:
        for key, value in self.values.items():
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        return config

    def _with_hydra(self, config: DictConfig) -> DictConfig:
        hydra = config.hydra
        with read_write(hydra), open_dict(hydra):
            hydra.overrides.task = list(self.overrides)
            hydra.job.override_dirname = self.override_dirname
            if self.number is not None:
                hydra.job.num = hydra.job.id = self.number
        return config


@contextmanager
def current(config: DictConfig) -> Iterator[None]:
    """Make a config the one that ``${hydra:...}`` and ``HydraConfig`` speak of.

    Args:
        config: with Hydra's node.
    """
    holder: Any = HydraConfig.instance()
    before = holder.cfg
    holder.cfg = config  # its own set_config copies
    try:
        yield
    finally:
        holder.cfg = before


class Composition:
    """Composes jobs.

    Args:
        loader: of Hydra, which knows the choices.
        compose: lets Hydra compose overrides, its own node included.
    """

    def __init__(
        self, loader: ConfigLoader, compose: Callable[[Sequence[str]], DictConfig]
    ) -> None:
        self.loader = loader
        self._compose = compose
        self._bases: dict[tuple[str, ...], Base] = {}
        self._choices: dict[str, list[str]] = {}
        self._kinds: dict[str, bool] = {}

    def choices(self, group: str) -> list[str]:
        """The choices of a group; none if there is no such group. A leading _ marks a fragment.

        Args:
            group: the group.
        """
        if group not in self._choices:
            options = self.loader.get_group_options(group, ObjectType.CONFIG) if group else []
            self._choices[group] = [name for name in options if not name.startswith("_")]
        return self._choices[group]

    def is_choice(self, override: Override) -> bool:
        """Whether an override chooses from a group (all else sets a value).

        Args:
            override: the override.
        """
        return bool(self.choices(override.key_or_group.lstrip("/")))

    def job(self, lines: Sequence[str], number: int | None = None) -> ComposedJob:
        """Compose a job.

        Args:
            lines: its overrides; Hydra's own are always left to it.
            number: of the job in its sweep.

        Raises:
            HydraException: Hydra refuses the overrides.
        """
        simple = [line for line in lines if self._is_simple(line)]
        rest = [line for line in lines if not self._is_simple(line)]
        if any(not self.is_choice(parse(line)) for line in rest):
            simple = [line for line in simple if not _is_changed_later(line, lines, rest)]
            rest = [line for line in lines if line not in simple]
        values = {parse(line).key_or_group: parse(line).value() for line in simple}
        mine = tuple(line for line in lines if not parse(line).is_hydra_override())
        return ComposedJob(self._base(tuple(rest)), values, number, mine)

    def _base(self, lines: tuple[str, ...]) -> Base:
        if lines not in self._bases:
            full = self._compose(lines)
            plain: Any = OmegaConf.to_container(full, enum_to_str=True)
            self._bases[lines] = Base(full, plain, plain.pop("hydra"))
        return self._bases[lines]

    def _is_simple(self, line: str) -> bool:
        """Whether an override only sets a value, with nothing that Hydra would have to resolve."""
        if line not in self._kinds:
            override = parse(line)
            self._kinds[line] = not (
                override.is_hydra_override()
                or override.is_sweep_override()
                or override.is_add()
                or override.is_force_add()
                or override.is_delete()
                or override.package is not None
                or "${" in str(override.value())
                or any(name.isdecimal() for name in override.key_or_group.split("."))
                or isinstance(override.value(), dict)
                or self.is_choice(override)
            )
        return self._kinds[line]


def _is_changed_later(line: str, lines: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether one of the others that follow sets the same key, or what is above or below it."""
    key = f"{parse(line).key_or_group}."
    later = (f"{parse(o).key_or_group}." for o in lines[lines.index(line) :] if o in rest)
    return any(key.startswith(other) or other.startswith(key) for other in later)
