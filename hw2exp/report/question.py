"""Choose what one picture shows: the runs of each line, and the number drawn of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hw2exp.compare.chosen import telling
from hw2exp.compare.measures import MEASURES
from hw2exp.compare.sides import listed
from hw2exp.config.registry import CHOICES
from hw2exp.config.settings import Value, rank
from hw2exp.diagnostics.statistics import UNKNOWN, Estimate, mean
from hw2exp.records.arm_names import differing, words
from hw2exp.records.arms import Arm
from hw2exp.records.outcomes import SEED
from hw2exp.report.curves import CURVES
from hw2exp.report.measures import SHOWN, measure, with_scores
from hw2exp.report.style import PALETTE
from hw2exp.system.problems import ConfigError, counted, nearest

AT_END = {"loss": "test_loss", "accuracy": "test_accuracy", "grad_norm": "largest_grad"}
"""The measure of a whole run that replaces each curve in a picture against a number."""

NAMES = dict.fromkeys([*CURVES, *SHOWN, *(name for name in MEASURES if name != "lr_sensitivity")])
"""The names of what can be drawn: metrics by step, measures of an arm, and measures of a run."""


@dataclass(frozen=True)
class Line:
    """Runs that have one color in a picture.

    Args:
        name: the settings that they share and other lines do not; empty if there are no others.
        points: the runs of each value of the number on the horizontal axis, in ascending order;
            under None those without a value, or all runs if there is no such number.
    """

    name: str
    points: Mapping[float | None, Arm]


@dataclass(frozen=True)
class Question:
    """The runs and the number that a picture shows.

    Args:
        lines: the runs, a line for each combination of values of the keys that were asked for.
        x: the key of the number on the horizontal axis; None: the training step.
        y: the name of what is drawn, one of ``NAMES``.
        pooled: the settings that vary among the runs of a point.
        tied: the further settings in which lines or points differ.
    """

    lines: Sequence[Line]
    x: str | None
    y: str
    pooled: Sequence[str]
    tied: Sequence[str]

    @property
    def arms(self) -> list[Arm]:
        """Return the runs of each point of each line."""
        return [arm for line in self.lines for arm in line.points.values()]


def ask(arms: Sequence[Arm], by: Sequence[str] | None, x: str | None, y: str) -> Question:
    """Return the runs and the number that a picture shows.

    Args:
        arms: the arms of all runs.
        by: the keys whose values make lines; None: all that tell arms apart, other than ``x``.
        x: the key of the number on the horizontal axis; None: the training step.
        y: the name of what is drawn, one of ``NAMES``.

    Raises:
        ConfigError: there is no such key or measure, or it makes no picture.
    """
    if y not in NAMES:
        raise ConfigError([f"--y={y}: no such measure; {nearest(y, NAMES)}"])
    settings = [arm.settings for arm in arms]
    told = sorted(telling(settings), key=lambda key: key not in CHOICES)
    apart = [key for key in told if key != x]
    for flag, keys in (("--by", by or ()), ("--x", () if x is None else (x,))):
        for key in keys:
            _check_swept(f"{flag}={key}", key, arms)
    if x is not None:
        _check_number(x, arms)
        if x in (by or ()):
            raise ConfigError([f"--x={x}: stands in --by too"])
    chosen = apart if by is None else list(dict.fromkeys(by))
    lines = [Line(_name(chosen, own), _points(x, own)) for own in _grouped(chosen, arms)]
    if len(lines) > len(PALETTE):
        named = "these runs" if by is None else f"--by={','.join(by)}"
        most = f"a picture has {len(PALETTE)} at most"
        keys = f"name fewer keys by --by, or a number by --x; those that differ: {', '.join(apart)}"
        raise ConfigError([f"{named}: {len(lines)} lines; {most}; {keys}"])
    cells = [own for line in _grouped(chosen, arms) for own in _grouped([x] if x else [], line)]
    within = {key for own in cells for key in telling([arm.settings for arm in own])}
    free = [key for key in apart if key not in chosen]
    return Question(
        lines if len(lines) > 1 else [replace(lines[0], name="")],
        x,
        y if x is None else AT_END.get(y, y),
        [key for key in free if key in within],
        [key for key in free if key not in within],
    )


def _check_swept(what: str, key: str, arms: Sequence[Arm]) -> None:
    """Refuse a key that is unknown, or has the same value in all runs."""
    settings = [arm.settings for arm in arms]
    if key == SEED:
        raise ConfigError([f"{what}: bands and intervals are over seeds; must be another key"])
    if not any(key in own for own in settings):
        raise ConfigError(
            [f"{what}: no such key; {nearest(key, {k for s in settings for k in s})}"]
        )
    swept = differing(settings)
    if key not in swept:
        value = words([key], settings[0])
        there = ", ".join(telling(settings)) or "none"
        raise ConfigError([f"{what}: all runs have {value}; those that differ: {there}"])


def _check_number(key: str, arms: Sequence[Arm]) -> None:
    """Refuse a key whose values are not two or more numbers."""
    values = {arm.settings[key] for arm in arms if key in arm.settings}
    if any(type(value) not in (int, float) for value in values):
        raise ConfigError([f"--x={key}: has the values {listed(values)}; must be a number"])
    if len(values) < 2:
        raise ConfigError([f"--x={key}: has one value, {listed(values)}; must have two or more"])


def _grouped(keys: Sequence[str], arms: Iterable[Arm]) -> list[list[Arm]]:
    """Group arms by the values of some keys: choices in the registry's order, others by rank."""
    groups: dict[tuple[Value | None, ...], list[Arm]] = {}
    for arm in arms:
        groups.setdefault(tuple(arm.settings.get(key) for key in keys), []).append(arm)
    places = []
    for place, key in enumerate(keys):
        values = list(dict.fromkeys(group[place] for group in groups))
        places.append(values if key in CHOICES else sorted(values, key=rank))
    order = sorted(
        groups, key=lambda own: [known.index(v) for known, v in zip(places, own, strict=True)]
    )
    return [groups[key] for key in order]


def _name(keys: Sequence[str], arms: Sequence[Arm]) -> str:
    """Write the settings that some arms share, numbers in a few digits."""
    shared = {key: own for key, own in arms[0].settings.items() if key in keys}
    short = {key: float(f"{own:.6g}") for key, own in shared.items() if isinstance(own, float)}
    return words(keys, shared | short) or f"no {' '.join(keys)}"


def _points(x: str | None, arms: Sequence[Arm]) -> dict[float | None, Arm]:
    if x is None:
        return {None: _joined(arms)}
    points = {}
    for own in _grouped([x], arms):
        value = own[0].settings.get(x)
        points[None if value is None else float(value)] = _joined(own)
    return points


def _joined(arms: Sequence[Arm]) -> Arm:
    """Return some arms joined to one; its runs are numbered, as several have the same seed."""
    if len(arms) == 1:
        return arms[0]
    return Arm("", dict(enumerate(run for arm in arms for run in arm.runs.values())))


def estimates(arm: Arm, names: Sequence[str]) -> dict[str, Estimate]:
    """Return measures of an arm with intervals over its runs, by name.

    Args:
        arm: the runs.
        names: names of the report's measures, or of compare's, of which the mean is taken.
    """
    scored = any(name.endswith("spike_score") for name in names)
    measured = with_scores(measure(arm)) if scored else measure(arm)
    return {name: getattr(measured, name) if name in SHOWN else _mean(arm, name) for name in names}


def _mean(arm: Arm, name: str) -> Estimate:
    values = [MEASURES[name].of(run) for run in arm.runs.values()]
    known = [value for value in values if value is not None]
    return mean(known) if known else UNKNOWN


def label_of(name: str) -> str:
    """Return the label of a measure on an axis."""
    return SHOWN[name][1] if name in SHOWN else f"{MEASURES[name].words}, mean"


def note_of(question: Question) -> str:
    """Write what a picture shows: how many runs, and the settings that it does not tell apart."""
    counts = sorted({len(arm.runs) for arm in question.arms})
    total = sum(len(arm.runs) for arm in question.arms)
    text = counted(total, "run")
    if len(question.arms) > 1:
        text += f", {' to '.join(map(str, counts[:: max(1, len(counts) - 1)]))} a "
        text += "line" if question.x is None else "point"
    drawn = question.x is None and question.y in CURVES
    if counts[-1] > 1:
        text += f": {'median and quartiles; ' * drawn}bars are 95\N{NO-BREAK SPACE}% intervals"
    if drawn and "loss" in CURVES[question.y].column:
        text += "; dashed: the loss of a guess"
    if question.pooled:
        text += f"; pooled over {', '.join(question.pooled)}"
    if question.tied:
        text += f"; they differ in {', '.join(question.tied)} too"
    return text
