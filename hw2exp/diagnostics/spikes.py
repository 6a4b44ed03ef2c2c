"""Define spikes of the loss curve, and find them while a fleet trains.

**Definition.** The *baseline* of a step is the running median of the training loss over the
`window` steps before it. The *margin* is the larger of a fixed height and a number of robust
standard deviations (1.4826 times the median absolute deviation) of the same steps. A spike is a
sequence of steps whose loss exceeds baseline + margin; sequences with at most `GAP` steps between
them are one spike. Its *peak* is its largest loss. If the loss stays high, the median follows
within half a window, and the spike ends. No spike begins in the first half window. A non-finite
loss ends the curve: that is divergence, not a spike.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.spike import Spike

GAP = 5
MOST = 1 << 22
"""Most numbers of windows in memory at once."""
ROBUST = 1.4826
"""The ratio of a normal distribution's standard deviation to its median absolute deviation."""


class SpikeDetector:
    """A detector of the spikes of R loss curves, fed in blocks of steps of any size.

    Args:
        window: the number of steps of the running median.
        margin: the least height above the median, ``(R,)``.
        deviations: the least height in robust standard deviations, ``(R,)``.
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
        # The last `window` losses of every replica; NaN before the first step.
        self._recent = np.full((window, len(margin)), np.nan)
        self._spikes: list[list[Spike]] = [[] for _ in margin]

    def update(self, losses: Floats) -> None:
        """Search a block of training losses ``(n, R)``; n may be 0."""
        if not len(losses):
            return
        part = max(1, MOST // (self.window * losses.shape[1]))
        if len(losses) > part:
            for first in range(0, len(losses), part):
                self.update(losses[first : first + part])
            return
        ended = np.logical_or.accumulate(~np.isfinite(losses) | self._ended, axis=0)  # (n, R)
        losses = np.where(ended, np.nan, losses)
        series = np.concatenate([self._recent, losses])  # (window + n, R)
        # A median is at least the smallest loss before, and few losses lie that far above it.
        high = losses > np.fmin.accumulate(series)[self.window - 1 : -1] + self.margin  # (n, R)
        if high.any():
            baseline, threshold = np.full((2, *losses.shape), np.nan)
            windows = sliding_window_view(series[:-1], self.window, axis=0)[high]  # (c, window)
            medians, spread = _centers(windows)
            baseline[high] = medians
            margin, deviations = (
                each[high.nonzero()[1]] for each in (self.margin, self.deviations)
            )
            threshold[high] = medians + np.maximum(margin, deviations * ROBUST * spread)
            for offset, replica in np.argwhere(losses > threshold):
                step, loss = self._steps + int(offset) + 1, float(losses[offset, replica])
                self._extend(replica, step, loss, baseline[offset, replica])
        self._recent = series[-self.window :]
        self._ended = ended[-1]
        self._steps += len(losses)

    def _extend(self, replica: int, step: int, loss: float, baseline: float) -> None:
        """Add a step above its threshold to the last spike, or start a new spike."""
        spikes = self._spikes[replica]
        above = loss > float(self.initial_loss[replica])
        if not spikes or step - spikes[-1].end > GAP + 1:
            spikes.append(Spike(step, step, step, loss, float(baseline), above))
        elif loss > spikes[-1].loss:
            spikes[-1] = replace(spikes[-1], step=step, end=step, loss=loss, above_initial=above)
        else:
            spikes[-1] = replace(spikes[-1], end=step)

    def spikes(self, replica: int) -> list[Spike]:
        """Return the spikes of a replica so far."""
        return list(self._spikes[replica])

    def recent(self, replica: int) -> Floats:
        """Return the last losses of a replica, ``(window,)``, to resume from with its spikes."""
        return self._recent[:, replica].copy()

    def restore(self, replica: int, step: int, recent: Floats, spikes: Sequence[Spike]) -> None:
        """Restore a replica from its last searched step; all replicas must be at the same one.

        Args:
            replica: the replica.
            step: the last searched step.
            recent: its last losses, ``(window,)``.
            spikes: all its spikes so far.
        """
        self._steps = step
        self._recent[:, replica] = recent
        self._spikes[replica] = list(spikes)

    def counts(self) -> NDArray[np.int64]:
        """Return the number of spikes of each replica so far, ``(R,)``."""
        return np.array([len(spikes) for spikes in self._spikes], dtype=np.int64)


def find_spikes(
    losses: Floats, window: int, margin: float, deviations: float, initial_loss: float
) -> list[Spike]:
    """Find the spikes of one whole curve.

    Args:
        losses: the training loss of every step, ``(n,)``.
        window: the number of steps of the running median.
        margin: the least height above the median.
        deviations: the least height in robust standard deviations.
        initial_loss: the loss before training.
    """
    one = (np.array([value]) for value in (margin, deviations, initial_loss))
    detector = SpikeDetector(window, *one)
    detector.update(np.asarray(losses, dtype=np.float64)[:, None])
    return detector.spikes(0)


def first_watched(window: int) -> int:
    """Return the first step, from 1, at which a spike could begin: after half a median's window."""
    return window // 2 + 1


def deviations_above(losses: Floats, window: int) -> Floats:
    """Return each step's loss above its baseline, in robust standard deviations, ``(n,)``.

    It is NaN in the first half window.

    Args:
        losses: the training loss of every step, ``(n,)``.
        window: the number of steps in a median.
    """
    series = np.concatenate([np.full(window, np.nan), losses])
    medians, spread = _centers(sliding_window_view(series, window)[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((losses - medians) / (ROBUST * spread))


def running_median(
    curves: Floats,
    window: int,
    before: Floats | None = None,
    wanted: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the median of the steps before each step, NaN in the first half window, ``(n, R)``.

    Args:
        curves: the value of every step, ``(n, R)``.
        window: the number of steps in a median.
        before: the values of earlier steps, at most ``window``.
        wanted: the steps to compute it at, ``(n, R)``; NaN elsewhere.
    """
    medians = np.full(curves.shape, np.nan)
    wanted = np.full(curves.shape, True) if wanted is None else wanted
    if not wanted.any():
        return medians
    seen = curves[:0] if before is None else before
    unseen = np.full((window - len(seen), curves.shape[1]), np.nan)
    series = np.concatenate([unseen, seen, curves])[:-1]
    medians[wanted] = _median(sliding_window_view(series, window, axis=0)[wanted])
    return medians


def _centers(windows: Floats) -> tuple[Floats, Floats]:
    """Return the median and the median absolute deviation of windows along the last axis."""
    medians = _median(windows)
    return medians, _median(np.abs(windows - medians[..., None]))


def _median(windows: Floats) -> Floats:
    """Return the median along the last axis without NaN; NaN if less than half is known."""
    known = (~np.isnan(windows)).sum(-1, keepdims=True)
    ordered = np.sort(windows, axis=-1)  # NaN last; many times faster than nanmedian
    low, high = (
        np.take_along_axis(ordered, np.maximum(place, 0), -1)
        for place in ((known - 1) // 2, known // 2)
    )
    return np.where(known >= windows.shape[-1] // 2, (low + high) / 2, np.nan)[..., 0]
