"""Read an intervention: the changes at the step to which a run is taken back.

An intervention is written as words with spaces between:

=================== ==============================================================================
``KEY=VALUE``       an override of the config, as on the command line, from this step on
``KEY*FACTOR``      a number of the config, or a part of the state at this step, times a factor
``KEY~SIZE``        a part of the state, each entry times 1 + SIZE ε, with ε from N(0, 1)
``skip=N``          the next N batches are left out
``data=N``          the batches are those of another seed, the N-th
``update=LIMIT``    updates are clipped to this root mean square, as StableAdamW clips them to 1
``around=N``        the overrides hold from N steps before the spike's start to N after, no longer
=================== ==============================================================================

A key of the config may be short, as ``lr``. A part of the state has the name that it has in a
checkpoint, as ``params`` or ``optimizer.mean_square``, or is a parameter, as ``readout``.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hw2exp.config.changed import CHANGEABLE, changed
from hw2exp.config.knob import shape_key
from hw2exp.config.registry import equations
from hw2exp.config.schema import TrainConfig
from hw2exp.config.yaml_file import leaves
from hw2exp.fleet.fleet import Fleet
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.system.problems import ConfigError, nearest

WORD = re.compile(r"(?P<key>[\w.]+)(?P<sign>[*~])(?P<number>[^*~=]*)")
COUNTS, UPDATE = ("skip", "around", "data"), "update"
NAMED = ("skip=N", "data=N", "update=LIMIT", "around=N")
OTHER_SEED = 1_000_003
"""The distance between the seeds of other data."""
PARTS = ("params", "optimizer.", "clip.")
"""The parts of the state that can change."""


@dataclass(frozen=True)
class Intervention:
    """An intervention: changes of a run from one step on.

    Args:
        do: the words.
        config: the config from this step on.
        factors: factors of parts of the state, by name.
        noises: sizes of the noise on parts of the state, by name.
        skip: the number of batches that are left out.
        around: the number of steps before and after the spike's start in which the config differs;
            None: in all steps.
        update: the largest root mean square of an update; None: any.
    """

    do: str
    config: TrainConfig
    factors: Mapping[str, float]
    noises: Mapping[str, float]
    skip: int = 0
    around: int | None = None
    update: float | None = None

    def config_at(self, step: int, start: int, own: TrainConfig) -> TrainConfig:
        """Return the config of a step.

        Args:
            step: the training step.
            start: the spike's first step.
            own: the run's config.
        """
        here = self.around is None or abs(step - start) <= self.around
        return self.config if here else own

    def stays_on(self, own: TrainConfig) -> bool:
        """Return whether the intervention acts at all steps, and changes nothing just once.

        Args:
            own: the run's config.
        """
        momentary = self.factors or self.noises or self.skip or self.around is not None
        return not momentary and (self.config != own or self.update is not None)


def nothing(config: TrainConfig) -> Intervention:
    """Return the intervention that changes nothing."""
    return Intervention("", config, {}, {})


def read_intervention(do: str, run: Fleet) -> Intervention:
    """Read an intervention.

    Args:
        do: the words.
        run: a fleet of the run alone, for its config and the names of its state.

    Raises:
        ConfigError: a word can't be read, or doesn't apply to the run.
    """
    counts: dict[str, int] = {}
    changes: dict[str, dict[str, float]] = {"*": {}, "~": {}}
    seen: set[str] = set()
    limit: float | None = None

    def once(key: str, word: str) -> str:
        if key in seen:
            raise ConfigError([f"{word}: {key} comes twice; must come once"])
        seen.add(key)
        return key

    words = do.split()
    config = _overridden(run.config, [word for word in words if _is_override(word)], do, once)
    for word in words:
        key, _, value = word.partition("=")
        if key == "data":
            seed = (run.config.seed + OTHER_SEED * _count(word, value)) % 2**63
            config = _overridden(config, [f"seed={seed}"], do, once)
        elif key == UPDATE:
            limit = _limit(word, value, run)
            once(key, word)
        elif key in COUNTS:
            counts[once(key, word)] = _count(word, value)
        elif found := WORD.fullmatch(word):
            number = _number(word, found["number"])
            if found["sign"] == "*" and (knob := _knob(found["key"], word, config)):
                name, old = knob
                new = round(old * number) if isinstance(old, int) else old * number
                config = _overridden(config, [f"{name}={new!r}"], do, once)
            else:
                part = _part(found["key"], word, run)
                changes[found["sign"]][once(part, word)] = number
    result = Intervention(do, config, changes["*"], changes["~"], **counts, update=limit)
    if result == Intervention(do, run.config, {}, {}, 0, result.around):
        raise ConfigError([f"{do or 'nothing'}: changes nothing of this run"])
    if result.around is not None and shape_key(config) != shape_key(run.config):
        raise ConfigError([f"{do}: around= is for overrides of numbers, not of choices"])
    return result


def _is_override(word: str) -> bool:
    return word.partition("=")[0] not in (*COUNTS, UPDATE) and not WORD.fullmatch(word)


def _overridden(
    config: TrainConfig, lines: Sequence[str], do: str, once: Callable[[str, str], str]
) -> TrainConfig:
    """Apply overrides, whose keys may be short; each key must come once."""
    full = []
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(
                [f"{line}: must be KEY=VALUE, KEY*FACTOR, KEY~SIZE, {', '.join(NAMED)}"]
            )
        knob = _knob(key, line, config)
        full.append(f"{once(knob[0] if knob else key, line)}={value}")
    try:
        return changed(config, full)
    except ConfigError as error:
        raise ConfigError(
            line if line.startswith(do) else f"{do}: {line}" for line in error.problems
        ) from error


def _number(word: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError([f"{word}: must end with a finite number"])
    return number


def _limit(word: str, text: str, run: Fleet) -> float:
    """Return the limit of updates; refuse optimizers without second moments, or with own limits."""
    limit, name = _number(word, text), run.config.optimizer.name
    if limit <= 0:
        raise ConfigError([f"{word}: must be a number > 0"])
    if not has_second_moments(run):
        raise ConfigError([f"{word}: optimizer={name} has no second moments to compare with"])
    if changes_adam(run):
        raise ConfigError([f"{word}: optimizer={name} limits gradients or updates by itself"])
    return limit


def has_second_moments(run: Fleet) -> bool:
    """Return whether a run's optimizer divides by the root of second moments."""
    return "mean_square" in run.state.optimizer and not getattr(
        run.config.optimizer, "centered", False
    )


def changes_adam(run: Fleet) -> bool:
    """Return whether a run's optimizer is Adam with limits of its own on gradients or updates."""
    own = equations("optimizer", run.config.optimizer.name)
    return issubclass(own, Adam) and own is not Adam


def _count(word: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ConfigError([f"{word}: must be an integer from 0 to 999999"])
    return int(text)


def _knob(key: str, word: str, config: TrainConfig) -> tuple[str, float] | None:
    """Return the dotted key and the value of a number of the config; None if there is none."""
    known = {
        name: value
        for name, value in leaves(config.model_dump())
        if name.partition(".")[0] in CHANGEABLE and type(value) in (int, float)
    }
    names = [name for name in known if key in (name, name.rpartition(".")[2])]
    if len(names) > 1:
        raise ConfigError([f"{word}: must be one of {', '.join(names)}"])
    return (names[0], known[names[0]]) if names else None


def _part(key: str, word: str, run: Fleet) -> str:
    """Return the name of a part of the state, checked."""
    states = [name for name in run.state.tensors() if name.startswith(PARTS)]
    names = run.layout.shapes
    if key in states or any(f"{name}_".startswith(f"{key}_") for name in names):
        return key
    raise ConfigError([f"{word}: no such number or state; {nearest(key, [*states, *names])}"])
