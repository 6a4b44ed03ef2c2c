"""What the spikes of loss curves come after, where they throw the parameters, what takes them away.

A run is the unit of every test, since spikes of one run depend on each other.
"""

from dataclasses import dataclass

import numpy as np

from hw2exp.diagnostics.explosions import FACTOR, explosions, within
from hw2exp.diagnostics.spikes import running_median
from hw2exp.statistics import paired_pvalue
from hw2exp.theory.curves import Curves, Floats

BEFORE = 5
"""How many steps before a spike a gradient may explode to have caused it."""


@dataclass(frozen=True)
class Preceded:
    """How often spikes come after explosions.

    Args:
        spikes: how many each run has, ``(R,)``.
        after: how many of them begin at most ``BEFORE`` steps after an explosion, ``(R,)``.
        base: the share of the steps at which a spike could begin that do too, ``(R,)``.
        followed: the share of explosions that come as soon before a spike, over all runs.
    """

    spikes: Floats
    after: Floats
    base: Floats
    followed: float

    @property
    def share(self) -> float:
        """Of all spikes, how many come after an explosion."""
        return float(self.after.sum() / max(self.spikes.sum(), 1))

    def pvalue(self) -> float:
        """That spikes come after explosions more often than any step does, by runs with spikes."""
        some = self.spikes > 0
        if not some.any():
            return 1.0
        return paired_pvalue(self.after[some] / self.spikes[some] - self.base[some], "greater")


def preceded(curves: Curves, factor: float = FACTOR) -> Preceded:
    """Count the spikes that begin after an exploding gradient.

    Args:
        curves: of R runs.
        factor: how many times its running median an exploded norm is.
    """
    exploded = explosions(curves.norms, factor=factor) & np.isfinite(curves.norms)
    soon_after = within(exploded, BEFORE)
    window = curves.configs[0].spikes.window
    watched = np.isfinite(running_median(curves.losses, window) + curves.losses)  # (n, R)
    begins = np.zeros_like(exploded)
    for run in range(begins.shape[1]):
        begins[[spike.start - 1 for spike in curves.spikes(run)], run] = True
    soon_before = within(begins[::-1], BEFORE)[::-1]
    return Preceded(
        spikes=begins.sum(0).astype(float),
        after=(begins & soon_after).sum(0).astype(float),
        base=(soon_after & watched).sum(0) / np.maximum(watched.sum(0), 1),
        followed=float(soon_before[exploded].mean()) if exploded.any() else 0.0,
    )


@dataclass(frozen=True)
class Thrown:
    """Where the parameters are at the peaks of spikes.

    Args:
        spikes: how many there are.
        above: how many of them exceed the initial loss.
        farther: how many of those have parameters farther from the run's best than it began.
        ratio: of both distances, a value for each of ``above``.
    """

    spikes: int
    above: int
    farther: int
    ratio: Floats


def thrown(curves: Curves) -> Thrown:
    """Compare the distance from the run's best parameters at each peak with that at the start.

    Args:
        curves: of R runs, with parameters.
    """
    assert curves.params is not None
    spikes, ratio = 0, []
    for run, config in enumerate(curves.configs):
        found, rows = curves.spikes(run), curves.params[:, run]
        spikes += len(found)
        best = rows[best_step(curves.losses[:, run], config.spikes.window) - 1]
        start = np.linalg.norm(rows[0] - best)
        ratio += [
            float(np.linalg.norm(rows[spike.step - 1] - best) / start)
            for spike in found
            if spike.above_initial
        ]
    ratios = np.array(ratio)
    return Thrown(spikes, len(ratios), int((ratios > 1).sum()), ratios)


def best_step(losses: Floats, window: int) -> int:
    """The step amid the window of the least running median, counted from 1.

    Args:
        losses: of every step, ``(n,)``.
        window: steps of the median.
    """
    medians = running_median(losses[:, None], window)[:, 0]
    return max(int(np.nanargmin(medians)) - window // 2, 1)
