"""A job's config: what Hydra composed, with plain values put into it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hw2exp.config.parsing import parse
from hw2exp.config.trusted import bounded_references

Plain = dict[str, Any]


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
        with current(full), bounded_references():
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
        with current(full), bounded_references():
            return str(OmegaConf.select(full, key, throw_on_missing=True))

    @cached_property
    def subfolder(self) -> str:
        """Where Hydra puts it in the folder of the sweep; "." for a single run."""
        return "." if self.number is None else self.select("hydra.sweep.subdir")

    @property
    def folder(self) -> Path:
        """Where Hydra puts the job of a sweep."""
        return Path(self.select("hydra.sweep.dir"), self.subfolder)

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
