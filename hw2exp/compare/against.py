"""Compare the arms of one side with those of the other, paired by seed and all other settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from hw2exp.compare.chosen import Chosen, check_apart, read_sides, telling
from hw2exp.compare.columns import MOST_NOTES
from hw2exp.compare.contrasts import FEWEST, Contrast, Paired, contrasts, paired
from hw2exp.compare.measures import Groups, measure_of
from hw2exp.compare.sides import listed
from hw2exp.records.arm_names import differing, words
from hw2exp.records.arm_pairs import partners
from hw2exp.records.arms import RATE, Arm
from hw2exp.system.problems import ConfigError, counted, nearest

MOST, MOST_AVERAGED = 1_000, 1 << 20
"""The most pairs of arms: where each pair is a comparison, and where pairs are averaged."""

Pairs = Sequence[tuple[Arm, Arm]]


@dataclass(frozen=True)
class Against:
    """A comparison of two sides.

    Args:
        sides: the two sides.
        contrasts: the comparisons, measure by measure.
        labels: for each comparison, the settings that tell it from others of its measure.
        differ: the keys in which paired arms differ.
        notes: lines about the runs that could not be read, or that are not counted.
        lost: the number of folders that could not be read.
    """

    sides: tuple[Chosen, Chosen]
    contrasts: Sequence[Contrast]
    labels: Sequence[str]
    differ: Sequence[str]
    notes: Sequence[str]
    lost: int


def compare_sides(
    one: Sequence[str],
    other: Sequence[str],
    measures: Sequence[str],
    by: Sequence[str] | None = None,
) -> Against:
    """Compare the runs of two sides.

    Args:
        one: the words of one side: folders, and settings that its arms must have.
        other: those of the other side; without a folder, it takes those of the first.
        measures: names of measures.
        by: keys; the differences of all pairs of arms that agree in them are averaged within a
            seed. None: each pair of arms is a comparison.

    Raises:
        ConfigError: a side is empty, both have a run in common, or nothing can be paired.
    """
    notes: list[str] = []
    sides, lost = read_sides(one, other, notes)
    check_apart(*sides)
    pairs = _pairs(*sides, MOST if by is None else MOST_AVERAGED)
    left_over = [*_alone(sides, pairs)]
    groups = _grouped(pairs, by)
    rows: list[Paired] = []
    for name in measures:
        asked = measure_of(name).groups(groups)
        if not asked:
            raise ConfigError([f"--measure={name}: needs runs at two learning rates or more"])
        rows += paired(name, asked)
        left_over += _not_counted(name, asked, rows)
    if not rows:
        raise ConfigError(
            [
                *notes[:MOST_NOTES],
                *left_over[:1],
                f"a comparison needs {FEWEST} seeds on both sides",
            ]
        )
    notes += left_over[:MOST_NOTES]
    if more := left_over[MOST_NOTES:]:
        notes.append(f"{counted(len(more), 'more line')} of this kind")
    arms = [[*{id(pair[n]): pair[n] for pair in pairs}.values()] for n in (0, 1)]
    labels = [_label(each, arms, by) for each in rows]
    return Against(sides, contrasts(rows), labels, _differing(pairs), notes, lost)


def _pairs(a: Chosen, b: Chosen, most: int) -> Pairs:
    """Pair the arms that differ only in keys that a side names."""
    named = tuple(dict.fromkeys((*a.keys, *b.keys)))
    pairs = [*islice(partners(a.arms, b.arms, named), most + 1)]
    if len(pairs) > most:
        what = f"{a.name} and {b.name}: more than {most:,} pairs of arms"
        raise ConfigError([f"{what}; name more settings, or average over some by --by"])
    if pairs:
        return pairs
    found = []
    for key in telling([arm.settings for arm in (*a.arms, *b.arms)]):
        values = [{arm.settings.get(key) for arm in side.arms} for side in (a, b)]
        if key not in named and not values[0] & values[1]:
            found.append(f"{key} ({listed(values[0]) or 'none'}; {listed(values[1]) or 'none'})")
    also = f"they differ in {', '.join(found)} too; name it on both sides" if found else (
        "no arm of one agrees with one of the other in all settings that neither names"
    )  # fmt: skip
    raise ConfigError([f"{a.name} and {b.name}: nothing to pair: {also}"])


def _alone(sides: Sequence[Chosen], pairs: Pairs) -> Iterator[str]:
    """Yield a line for each arm without a partner."""
    for place, side in enumerate(sides):
        in_pairs = {id(pair[place]) for pair in pairs}
        keys = telling([arm.settings for arm in side.arms])
        for arm in side.arms:
            if id(arm) not in in_pairs:
                name = " ".join(filter(None, (side.name, words(keys, arm.settings))))
                yield f"{name}: no partner; {counted(len(arm.runs), 'run')} not counted"


def _grouped(pairs: Pairs, by: Sequence[str] | None) -> Groups:
    """Group pairs of arms by the values of some keys, or not at all."""
    if by is None:
        return [([one], [other]) for one, other in pairs]
    keys = dict.fromkeys(key for one, _ in pairs for key in one.settings)
    for key in by:
        if key not in keys:
            raise ConfigError([f"--by={key}: no such key; {nearest(key, keys)}"])
        if any(one.settings.get(key) != other.settings.get(key) for one, other in pairs):
            raise ConfigError(
                [f"--by={key}: the sides differ in it; must be a key that they share"]
            )
    groups: dict[tuple[object, ...], tuple[list[Arm], list[Arm]]] = {}
    for pair in pairs:
        values = tuple(pair[0].settings.get(each) for each in by)
        for arms, arm in zip(groups.setdefault(values, ([], [])), pair, strict=True):
            arms.append(arm)
    return [*groups.values()]


def _not_counted(name: str, groups: Groups, rows: Sequence[Paired]) -> Iterator[str]:
    """Yield a line for each group with seeds that one side lacks, or that have no value."""
    counted_seeds = {id(each.a): set(each.seeds) for each in rows if each.name == name}
    for a, b in groups:
        own, others = (set.intersection(*(set(arm.runs) for arm in arms)) for arms in (a, b))
        every = {seed for arm in (*a, *b) for seed in arm.runs}
        label = f"{a[0].name} against {b[0].name}"
        if apart := sorted(every - (own & others)):
            yield f"{label}: not on both sides, not counted: seed {listed(apart)}"
        elif unknown := sorted(own & others - counted_seeds.get(id(a), set())):
            yield f"{label}: {name} unknown, or of one seed, not counted: seed {listed(unknown)}"


def _label(row: Paired, arms: Sequence[Sequence[Arm]], by: Sequence[str] | None) -> str:
    """Write the settings of a comparison: first the shared ones, then those of each side."""
    shared: list[str] = []
    own: tuple[list[str], list[str]] = ([], [])
    for key in telling([arm.settings for side in arms for arm in side]):
        values = [{arm.settings.get(key) for arm in side} for side in (row.a, row.b)]
        if (by is not None and key not in by) or any(len(each) > 1 for each in values):
            continue
        if values[0] == values[1]:
            shared.append(key)
            continue
        for keys, side in zip(own, arms, strict=True):
            if len({arm.settings.get(key) for arm in side}) > 1:
                keys.append(key)
    texts = [words(keys, side[0].settings) for keys, side in zip(own, (row.a, row.b), strict=True)]
    apart = " against ".join(text or "–" for text in texts) if any(texts) else ""
    return " ".join(filter(None, (words(shared, row.a[0].settings), apart))) or "all"


def _differing(pairs: Pairs) -> list[str]:
    """Return the keys in which paired arms differ, without those that a choice decides."""
    keys = dict.fromkeys(key for pair in pairs for key in differing([arm.settings for arm in pair]))
    told = {RATE, *telling([arm.settings for pair in pairs for arm in pair])}
    return [key for key in keys if key in told]
