"""What follows an exploding gradient, step by step; of runs that log every step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.explosions import explosions
from hw2exp.records.runs import Arm, Run
from hw2exp.statistics import Estimate, median

Floats = NDArray[np.float64]

BEFORE, AFTER = 20, 150
"""Steps around an explosion that are looked at."""
SOON, LATE = 1, 30
"""The steps after it by which a brake is judged, first and last."""


@dataclass(frozen=True)
class Aftermath:
    """What follows the first explosion after a calm, over the runs of an arm.

    Args:
        arm: its runs.
        runs: how many of them have such an explosion.
        steps: from the explosion, ``(n,)``.
        updates: how far the parameters moved, relative to the median of the steps before; each
            run's median over its explosions, ``(runs, n)``.
        spikes: how many spikes have begun since the explosion, a mean over explosions, ``(n,)``.
        events: how many explosions there are in all.
    """

    arm: Arm
    runs: int
    steps: NDArray[np.int64]
    updates: Floats
    spikes: Floats
    events: int

    def brake(self) -> Estimate:
        """What is left of the parameters' steps afterwards: the median over the runs."""
        late = (self.steps >= SOON) & (self.steps <= LATE)
        return median(np.median(self.updates[:, late], axis=1))


def aftermath(arm: Arm) -> Aftermath | None:
    """Look at an arm's explosions; nothing if its runs don't log every step, or have none.

    Args:
        arm: its runs.
    """
    if any(run.config.log_every != 1 for run in arm.runs.values()):
        return None
    looked = [each for each in map(_of_run, arm.runs.values()) if each is not None]
    if not looked:
        return None
    updates, spikes = zip(*looked, strict=True)
    return Aftermath(
        arm,
        len(looked),
        np.arange(-BEFORE, AFTER + 1),
        np.stack([np.median(each, axis=0) for each in updates]),
        np.concatenate(spikes).mean(0),
        sum(len(each) for each in spikes),
    )


def _of_run(run: Run) -> tuple[Floats, Floats] | None:
    """Relative updates and counts of spikes around each explosion, ``(events, n)`` each."""
    metrics = run.metrics()
    if metrics.height < BEFORE + AFTER or "update_norm_max" not in metrics.columns:
        return None
    norms, updates = (
        metrics[name].to_numpy().astype(float) for name in ("grad_norm_raw", "update_norm_max")
    )
    places = _first_after_calm(np.flatnonzero(explosions(norms[:, None])[:, 0]))
    places = places[(places >= BEFORE) & (places + AFTER < len(norms))]
    if not len(places):
        return None
    begun = np.zeros(len(norms))
    begun[[at for spike in run.result.spikes if (at := spike["start"] - 1) < len(begun)]] = 1
    around = places[:, None] + np.arange(-BEFORE, AFTER + 1)  # (events, n)
    before = np.median(updates[around[:, :BEFORE]], axis=1, keepdims=True)
    since = np.where(np.arange(-BEFORE, AFTER + 1) > 0, begun[around], 0).cumsum(1)
    return updates[around] / np.maximum(before, np.finfo(float).tiny), since


def _first_after_calm(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Explosions before which there was none for as long as is looked at."""
    return places[np.diff(places, prepend=-AFTER - 1) > AFTER]


def aftermaths(arms: Sequence[Arm]) -> list[Aftermath]:
    """Those of all arms that have one.

    Args:
        arms: all.
    """
    return [each for each in map(aftermath, arms) if each is not None]
