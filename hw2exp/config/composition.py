"""Compose the configs of many jobs: each set of choices once by Hydra, then plain values.

For Hydra, a job that differs in a seed takes as long as a job that differs in everything.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from hw2exp.config.job import Base, Job, put
from hw2exp.config.parsing import key_of, parse
from hw2exp.config.refusals import MERGING
from hw2exp.config.validation import unfit
from hw2exp.system.problems import ConfigError


class Composition:
    """A composer of jobs, which caches the configs that Hydra composes.

    Args:
        loader: Hydra's loader (a ``ConfigLoaderImpl``), which knows the choices.
        compose: the function that lets Hydra compose overrides, with Hydra's node.
    """

    def __init__(self, loader: Any, compose: Callable[[Sequence[str]], DictConfig]) -> None:
        self.loader = loader
        self._compose = compose
        self._bases: dict[tuple[str, ...], Base] = {}
        self._choices: dict[str, list[str]] = {}
        self._kinds: dict[str, bool] = {}

    def choices(self, group: str) -> list[str]:
        """Return the choices of a group, without fragments (leading _); empty for other names."""
        if group not in self._choices:
            # Not the loader's own method, which copies the repository at each call.
            known = self.loader.repository.get_group_options
            options = known(group, ObjectType.CONFIG) if group else []
            self._choices[group] = [name for name in options if not name.startswith("_")]
        return self._choices[group]

    def is_choice(self, override: Override) -> bool:
        """Return whether an override chooses from a group; others set a value."""
        return bool(self.choices(key_of(override)))

    def job(self, lines: Sequence[str], number: int | None = None) -> Job:
        """Compose a job.

        Args:
            lines: the job's overrides; Hydra composes its own.
            number: the job's number in its sweep.

        Raises:
            ConfigError: an override sets a mapping instead of a list, or the other way round.
            HydraException: Hydra refuses the overrides.
        """
        simple = [line for line in lines if self.is_simple(line)]
        rest = [line for line in lines if not self.is_simple(line)]
        values = [line for line in rest if self._sets_value(parse(line))]
        if values:  # a choice keeps the values below it that were set before
            simple = [line for line in simple if not _is_changed_later(line, lines, values)]
            rest = [line for line in lines if line not in simple]
        plain = {parse(line).key_or_group: parse(line).value() for line in simple}
        mine = tuple(line for line in lines if not parse(line).is_hydra_override())
        return Job(self._base(tuple(rest)), plain, number, mine)

    def _sets_value(self, override: Override) -> bool:
        return not override.is_hydra_override() and not self.is_choice(override)

    def _base(self, lines: tuple[str, ...]) -> Base:
        if lines not in self._bases:
            try:
                full = self._compose(lines)
            except HydraException as error:
                line = str(error).removeprefix(MERGING)
                typed = put({}, key_of(parse(line)), parse(line).value()) if line in lines else {}
                if problems := list(unfit(typed)):
                    raise ConfigError(problems) from error
                raise
            for earlier in [*self._bases.values()][:1]:  # the same ${now:...} in all jobs
                OmegaConf.copy_cache(from_config=earlier.full, to_config=full)
            plain: Any = OmegaConf.to_container(full, enum_to_str=True)
            self._bases[lines] = Base(full, plain, plain.pop("hydra"))
        return self._bases[lines]

    def is_simple(self, line: str) -> bool:
        """Return whether an override only sets a plain value, for which Hydra isn't needed."""
        if line not in self._kinds:
            override = parse(line)
            self._kinds[line] = not (
                override.is_hydra_override()
                or override.is_sweep_override()
                or override.is_add()
                or override.is_delete()
                or override.package is not None
                or "${" in str(override.value())
                or any(name.isdecimal() for name in override.key_or_group.split("."))
                or isinstance(override.value(), dict)
                or self.is_choice(override)
            )
        return self._kinds[line]


def _is_changed_later(line: str, lines: Sequence[str], rest: Sequence[str]) -> bool:
    """Return whether a later line of the rest sets the same key, or a key above or below."""
    key = f"{parse(line).key_or_group}."
    later = (f"{parse(o).key_or_group}." for o in lines[lines.index(line) :] if o in rest)
    return any(key.startswith(other) or other.startswith(key) for other in later)
