"""Find the two numbers of a sweep over which its runs make a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.validation import all_knobs
from hw2exp.records.arms import RATE
from hw2exp.records.outcomes import RESULT, SEED

if TYPE_CHECKING:
    import polars

LEAST = 8
"""Fewest values of each of a map's two numbers."""

FILLED = 0.5
"""A map has runs in more than this share of its cells: a random search is none."""

EVEN = 0.25
"""Largest distance of evenly spaced values from their places, in steps: values may be rounded."""


@dataclass(frozen=True)
class MapAxis:
    """A swept number.

    Args:
        key: its dotted key.
        values: its values in ascending order, ``(n,)``.
    """

    key: str
    values: NDArray[np.float64]

    @cached_property
    def spacing(self) -> str:
        """Return ``geometric``, ``even``, or ``uneven`` if neither."""
        off = {"even": _unevenness(self.values)}
        if self.values[0] > 0:
            off = {"geometric": _unevenness(np.log(self.values)), **off}
        best = min(off, key=lambda name: off[name])  # a narrow window is nearly both
        return best if off[best] <= EVEN else "uneven"

    @property
    def step(self) -> float:
        """Return the step between two values: in octaves if geometric; NaN if uneven."""
        ends = self.values[[0, -1]]
        if self.spacing == "uneven":
            return np.nan
        first, last = np.log2(ends) if self.spacing == "geometric" else ends
        return float((last - first) / (len(self.values) - 1))

    def places(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Return the places of values, in cells from the first, ``(n,)``."""
        known, wanted = self.values, np.asarray(values, float)
        if self.spacing == "geometric":
            known, wanted = np.log(known), np.log(wanted)
        return np.asarray(np.interp(wanted, known, np.arange(len(known))))

    @property
    def meaning(self) -> str:
        """Return the key's meaning, as ``--help`` has it; empty if it has none."""
        found = (
            own.model_fields[name].description for key, own, name in all_knobs() if key == self.key
        )
        return next(found, None) or ""


def _unevenness(values: NDArray[np.float64]) -> float:
    """Return the largest distance of a value from its place in an even spacing, in steps."""
    even = np.linspace(values[0], values[-1], len(values))
    return float(np.abs(values - even).max() / (even[1] - even[0]))


def axes_of(swept: "polars.DataFrame") -> tuple[MapAxis, MapAxis] | None:
    """Return the two numbers of which a sweep has the most values, or None if it makes no map.

    Args:
        swept: a row for each run: the seed and the swept settings.

    Returns:
        The horizontal axis, the learning rate if it is one of the two, and the vertical one.
    """
    numbers = [
        key
        for key in settings_keys(swept)
        if swept[key].dtype.is_numeric()
        and not swept[key].null_count()
        and swept[key].is_finite().all()
        and swept[key].n_unique() >= LEAST
    ]
    numbers = sorted(numbers, key=lambda key: -swept[key].n_unique())[:2]
    if len(numbers) < 2:
        return None
    x, y = (
        MapAxis(key, swept[key].unique().sort().to_numpy().astype(float))
        for key in sorted(numbers, key=lambda key: key != RATE)
    )
    cells = len(x.values) * len(y.values)
    return (x, y) if swept.select(numbers).n_unique() > FILLED * cells else None


def settings_keys(frame: "polars.DataFrame") -> list[str]:
    """Return the columns of a table of runs that are swept settings."""
    return [key for key in frame.columns if key not in {SEED, *RESULT}]
