"""Count explosions before spikes, and measure the distance from the optimum at their peaks.

A run is the unit of every test, because spikes of one run depend on each other.
"""

import math
from dataclasses import dataclass

import numpy as np

from hw2exp.diagnostics.explosions import FACTOR, excess_pvalue, explosions, preceded
from hw2exp.diagnostics.spikes import first_watched, running_median
from hw2exp.diagnostics.statistics import Floats
from hw2exp.theory.trained_curves import TrainedCurves


@dataclass(frozen=True)
class SpikeCauses:
    """Counts of the spikes of R runs that come after explosions.

    Args:
        spikes: the number of spikes of each run, ``(R,)``.
        after: the number that begin at most ``BEFORE`` steps after an explosion, ``(R,)``.
        base: the share of steps at most ``BEFORE`` steps after an explosion, among the steps at
            which a spike could begin, ``(R,)``.
        followed: the share of explosions at most ``BEFORE`` steps before a spike, over all runs.
    """

    spikes: Floats
    after: Floats
    base: Floats
    followed: float

    @property
    def share(self) -> float:
        """Return the share of all spikes that come after an explosion."""
        return float(self.after.sum() / max(self.spikes.sum(), 1))

    def pvalue(self) -> float:
        """Return the p-value of the hypothesis that spikes follow explosions only by chance."""
        return excess_pvalue(self.after, self.spikes, self.base)


def causes(curves: TrainedCurves, factor: float = FACTOR) -> SpikeCauses:
    """Count the spikes that begin after an exploding gradient.

    Args:
        curves: the curves of R runs.
        factor: the ratio to its running median above which a norm has exploded.
    """
    exploded = explosions(curves.norms, factor=factor) & np.isfinite(curves.norms)
    found = [
        preceded(
            [spike.start for spike in curves.spikes(run)],
            (np.flatnonzero(exploded[:, run]) + 1).tolist(),
            first_watched(curves.window),
            int(np.isfinite(curves.losses[:, run]).sum()),
        )
        for run in range(exploded.shape[1])
    ]
    return SpikeCauses(
        spikes=np.array([len(each.after) for each in found], dtype=float),
        after=np.array([sum(each.after) for each in found], dtype=float),
        base=np.array([each.base for each in found]),
        followed=sum(each.followed for each in found) / max(sum(e.explosions for e in found), 1),
    )


@dataclass(frozen=True)
class Thrown:
    """The distance of the parameters at the peaks of spikes from a substitute for the optimum.

    Args:
        above: the number of peaks above the initial loss, in runs with a known distance.
        farther: the number of these peaks with the parameters farther off than at the start.
        ratio: the median over these peaks of the distance relative to that at the start.
        anywhere: the share of all steps at which the parameters are farther off than at the start.
    """

    above: int
    farther: int
    ratio: float
    anywhere: float


def thrown(curves: TrainedCurves, of_another: bool = False) -> Thrown:
    """Compare the distance from the optimum at each peak, and at every step, with the start's.

    The optimum is unknown. A run's own best parameters lie on its path, so that it approaches them
    in any case; another run's best parameters lie elsewhere.

    Args:
        curves: the curves of R runs, with parameters.
        of_another: whether to measure from the best parameters of the run with the least running
            median of the loss (for that run, of the second) instead of a run's own.
    """
    assert curves.params is not None
    bests = [best_step(losses, curves.window) for losses in curves.losses.T]
    order = np.argsort([np.inf if best is None else best[1] for best in bests])
    ratios, above = [], []
    for run in range(len(bests)):
        source = int(order[1] if run == order[0] else order[0]) if of_another else run
        best, rows = bests[source], curves.params[:, run]
        if best is None or (source == run and best[0] == 1):
            continue
        optimum = curves.params[best[0] - 1, source]
        distance = np.linalg.norm(rows - optimum, axis=1)  # (n,)
        ratios.append(distance[np.isfinite(curves.losses[:, run])] / distance[0])
        above += [
            float(distance[spike.step - 1] / distance[0])
            for spike in curves.spikes(run)
            if spike.above_initial
        ]
    peaks = np.array(above)
    steps = np.concatenate(ratios) if ratios else np.zeros(0)
    return Thrown(
        above=len(peaks),
        farther=int((peaks > 1).sum()),
        ratio=float(np.median(peaks)) if len(peaks) else math.nan,
        anywhere=float((steps > 1).mean()) if len(steps) else math.nan,
    )


def best_step(losses: Floats, window: int) -> tuple[int, float] | None:
    """Return the step in the middle of the window with the least running median, and the median.

    Args:
        losses: the loss of every step, ``(n,)``.
        window: the window of the running median, in steps.

    Returns:
        The step, from 1, and the median; None if no median is known.
    """
    medians = running_median(losses[:, None], window)[:, 0]
    if not np.isfinite(medians).any():
        return None
    place = int(np.nanargmin(medians))
    return max(place - window // 2, 1), float(medians[place])
