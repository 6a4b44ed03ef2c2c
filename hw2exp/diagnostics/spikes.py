"""What a spike of the loss curve is, and how spikes are found while a fleet trains.

**Definition.** The *baseline* of a step is the running median of the training loss over the
`window` steps before it, and the *margin* is the larger of a fixed height and of a number of
robust standard deviations (1.4826 times the median absolute deviation) of the same steps. A spike
is a run of steps whose loss exceeds baseline + margin; runs with at most `GAP` steps between them
are one spike. Its *peak* is its largest loss. Where the loss stays high, the median follows within
half a window, and the spike ends. There is none until half a window was seen. A loss that is not
finite ends the curve: that is divergence, not a spike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAP = 5
ROBUST = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""


@dataclass(frozen=True)
class Spike:
    """One spike.

    Args:
        step: the peak's step, counted from 1.
        start: the first step above baseline + margin.
        end: the last step above it.
        loss: the loss at the peak.
        median: the baseline when it started.
        above_initial: the peak exceeds the loss before training.
    """

    step: int
    start: int
    end: int
    loss: float
    median: float
    above_initial: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the spike that a result has recorded.

        Args:
            values: its fields, and what a result says of it besides.
        """
        return cls(**{each.name: values[each.name] for each in fields(cls)})


class SpikeDetector:
    """Finds the spikes of R loss curves, fed in blocks of steps of any size.

    Args:
        window: steps of the running median.
        margin: least height above it, ``(R,)``.
        deviations: least height in robust standard deviations, ``(R,)``.
        initial_loss: the loss before training, ``(R,)``.
    """

    def __init__(
        self, window: int, margin: Floats, deviations: Floats, initial_loss: Floats
    ) -> None:
        self.window = window
        self.margin = margin
        self.deviations = deviations
        self.initial_loss = initial_loss
        self._steps = 0
        self._ended = np.zeros(len(margin), dtype=bool)
        # The last `window` losses of every replica; NaN where there was no step yet.
        self._recent = np.full((window, len(margin)), np.nan)
        self._spikes: list[list[Spike]] = [[] for _ in margin]

    def update(self, losses: Floats) -> None:
        """Search a block of steps.

        Args:
            losses: ``(n, R)``; n may be 0.
        """
        if not len(losses):
            return
        ended = np.logical_or.accumulate(~np.isfinite(losses) | self._ended, axis=0)  # (n, R)
        losses = np.where(ended, np.nan, losses)
        series = np.concatenate([self._recent, losses])  # (window + n, R)
        baseline, margin = self._baseline_and_margin(series[:-1])  # (n, R)
        for offset, replica in np.argwhere(losses > baseline + margin):
            step = self._steps + int(offset) + 1
            self._extend(replica, step, float(losses[offset, replica]), baseline[offset, replica])
        self._recent = series[-self.window :]
        self._ended = ended[-1]
        self._steps += len(losses)

    def _baseline_and_margin(self, series: Floats) -> tuple[Floats, Floats]:
        windows = sliding_window_view(series, self.window, axis=0)  # (n, R, window)
        baseline = _median(windows)  # (n, R)
        spread = _median(np.abs(windows - baseline[..., None]))
        return baseline, np.maximum(self.margin, self.deviations * ROBUST * spread)

    def _extend(self, replica: int, step: int, loss: float, baseline: float) -> None:
        """Make a step above its threshold a part of the last spike, or the start of a new one."""
        spikes = self._spikes[replica]
        above = loss > float(self.initial_loss[replica])
        if not spikes or step - spikes[-1].end > GAP + 1:
            spikes.append(Spike(step, step, step, loss, float(baseline), above))
        elif loss > spikes[-1].loss:
            spikes[-1] = replace(spikes[-1], step=step, end=step, loss=loss, above_initial=above)
        else:
            spikes[-1] = replace(spikes[-1], end=step)

    def spikes(self, replica: int) -> list[Spike]:
        """The spikes of a replica so far.

        Args:
            replica: which one.
        """
        return list(self._spikes[replica])

    def recent(self, replica: int) -> Floats:
        """The last losses of a replica, ``(window,)``; what it needs to go on, besides its spikes.

        Args:
            replica: which one.
        """
        return self._recent[:, replica].copy()

    def restore(self, replica: int, step: int, recent: Floats, spikes: Sequence[Spike]) -> None:
        """Put a replica back to where it was; all replicas were at the same step.

        Args:
            replica: which one.
            step: the last step that was searched.
            recent: its last losses, ``(window,)``.
            spikes: its spikes so far.
        """
        self._steps = step
        self._recent[:, replica] = recent
        self._spikes[replica] = list(spikes)

    def counts(self) -> NDArray[np.int64]:
        """How many spikes each replica has had so far, ``(R,)``."""
        return np.array([len(spikes) for spikes in self._spikes], dtype=np.int64)


def find_spikes(
    losses: Floats, window: int, margin: float, deviations: float, initial_loss: float
) -> list[Spike]:
    """Find the spikes of one whole curve.

    Args:
        losses: the training loss of every step, ``(n,)``.
        window: steps of the running median.
        margin: least height above it.
        deviations: least height in robust standard deviations.
        initial_loss: the loss before training.
    """
    one = (np.array([value]) for value in (margin, deviations, initial_loss))
    detector = SpikeDetector(window, *one)
    detector.update(np.asarray(losses, dtype=np.float64)[:, None])
    return detector.spikes(0)


def first_watched(window: int) -> int:
    """The first step at which a spike could begin, counted from 1: half a window was seen.

    Args:
        window: steps of the running median.
    """
    return window // 2 + 1


def running_median(curves: Floats, window: int, before: Floats | None = None) -> Floats:
    """The median of the steps before each, NaN until half a window was seen, ``(n, R)``.

    Args:
        curves: a value of every step, ``(n, R)``.
        window: how many steps before.
        before: values of steps before these, at most ``window``.
    """
    if not len(curves):
        return curves
    seen = curves[:0] if before is None else before
    unseen = np.full((window - len(seen), curves.shape[1]), np.nan)
    series = np.concatenate([unseen, seen, curves])[:-1]
    return _median(sliding_window_view(series, window, axis=0))


def _median(windows: Floats) -> Floats:
    """Median of what was seen, along the last axis; NaN where that is less than half."""
    enough = (~np.isnan(windows)).sum(-1) >= windows.shape[-1] // 2
    if enough.all() and not np.isnan(windows).any():
        return np.asarray(np.median(windows, axis=-1))
    median = np.full(enough.shape, np.nan)
    if enough.any():
        median[enough] = np.nanmedian(windows[enough], axis=-1)
    return median
