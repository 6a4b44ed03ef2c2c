"""Define a job: one run of a command, from its overrides to its checked config and its folder."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from copy import copy, deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hw2exp.config.parsing import parse
from hw2exp.config.refusals import one_error
from hw2exp.config.schema import TrainConfig
from hw2exp.config.trusted import bounded_references
from hw2exp.config.validation import validate
from hw2exp.system.replaced import replaced

Plain = dict[str, Any]


def put(plain: Plain, key: str, value: Any) -> Plain:
    """Return a copy of a nested dict with a dotted key's value set; share all other branches."""
    head, _, rest = key.partition(".")
    if rest:
        below = plain.get(head)
        value = put(below if isinstance(below, dict) else {}, rest, value)
    return {**plain, head: value}


@dataclass(frozen=True, eq=False)
class Base:
    """A config composed by Hydra, shared by all jobs that differ only in plain values.

    Args:
        full: the composed config with Hydra's node.
        plain: the values as written, without Hydra's node.
        hydra: the values of Hydra's node, as written.
    """

    full: DictConfig
    plain: Plain
    hydra: Plain
    _scratch: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = field(default_factory=dict)

    @cached_property
    def interpolated(self) -> bool:
        """Return whether any value holds an interpolation, ``${...}``."""
        return "${" in str(self.plain)

    def belong_to_sweep(self, folder: Path, line: str | None) -> None:
        """Set the values of Hydra's node that a sweep's jobs share, as Hydra sets them.

        Args:
            folder: the sweep's folder.
            line: the override that sets the folder; None if the user typed it.
        """
        lines = [*([] if line is None else [line]), "hydra.mode=MULTIRUN"]
        node = self.full.hydra
        with read_write(node), open_dict(node):
            node.sweep.dir, node.mode = str(folder), RunMode.MULTIRUN
            node.overrides.hydra.extend(lines)
        self.hydra["sweep"]["dir"], self.hydra["mode"] = str(folder), "MULTIRUN"
        self.hydra["overrides"]["hydra"] += lines
        self._scratch.clear()

    def set_sweep(self, params: Mapping[str, str]) -> None:
        """Replace a config file's overrides of a sweep by the checked ones, for Hydra to read.

        Args:
            params: the values of each key, as an override lists them.
        """
        node = self.full.hydra.sweeper
        with read_write(node), open_dict(node):
            node.params = dict(params)
        self.hydra["sweeper"]["params"] = dict(params)
        self._scratch.clear()

    def scratch(self, keys: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        """Return two copies of the config, in which jobs set these keys in turn: copying is slow.

        Args:
            keys: the dotted keys that the jobs set.

        Returns:
            A copy with Hydra's node, and a copy without it, as a job sees the config.
        """
        if keys not in self._scratch:
            seen = deepcopy(self.full)
            with open_dict(seen):
                del seen["hydra"]
            self._scratch[keys] = deepcopy(self.full), seen
        return self._scratch[keys]


@dataclass(eq=False)
class Job:
    """One run that a command asks for.

    Args:
        base: the config composed by Hydra.
        values: the job's plain values, by dotted key.
        number: the job's number in its sweep; none for a single run.
        overrides: the job's overrides as typed, without Hydra's own.
        root: the folder of the single run, or of the sweep, absolute; unknown before it is made.
    """

    base: Base
    values: Mapping[str, Any]
    number: int | None
    overrides: tuple[str, ...]
    root: Path = Path()

    @cached_property
    def config(self) -> TrainConfig:
        """Return the checked config.

        Raises:
            ConfigError: the values have problems, one line each.
        """
        return validate(one_error(getattr, self, "plain"))

    def at(self, root: Path) -> Self:
        """Return the job in a folder.

        Args:
            root: the folder of the single run, or of the sweep.
        """
        placed = copy(self)
        placed.root = Path(os.path.abspath(root))
        return placed

    @cached_property
    def raw(self) -> Plain:
        """Return the values as written, without Hydra's node."""
        plain = self.base.plain
        for key, value in self.values.items():
            plain = put(plain, key, value)
        return plain

    @cached_property
    def plain(self) -> Plain:
        """Return the resolved values, without Hydra's node."""
        if not self.base.interpolated:
            return self.raw
        full, seen = self._scratch()
        with current(full), bounded_references():
            resolved = OmegaConf.to_container(seen, resolve=True)
        assert isinstance(resolved, dict)
        return {str(key): value for key, value in resolved.items()}

    def full(self) -> DictConfig:
        """Return the config that Hydra itself would compose, with Hydra's node."""
        return self._with_hydra(self._with_values(deepcopy(self.base.full)))

    def choice(self, group: str) -> str | None:
        """Return the choice of a group; None if the config has no choice of it."""
        chosen: str | None = self.base.hydra["runtime"]["choices"].get(group)
        return chosen

    def select(self, key: str) -> str:
        """Return the resolved value of a dotted key of Hydra's node, ``hydra.…``, as text."""
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
        """Return the job's path in the sweep's folder; "." for a single run."""
        return "." if self.number is None else self.select("hydra.sweep.subdir")

    @property
    def folder(self) -> Path:
        """Return the run folder, absolute."""
        return Path(os.path.abspath(self.root / self.subfolder))

    @property
    def override_dirname(self) -> str:
        """Return Hydra's name for the job, made of its overrides."""
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
                hydra.job.num, hydra.job.id = self.number, str(self.number)
        return config


def current(config: DictConfig) -> AbstractContextManager[None]:
    """Let ``${hydra:...}`` and ``HydraConfig`` refer to a config."""
    return replaced(HydraConfig.instance(), "cfg", config)  # set_config would copy
