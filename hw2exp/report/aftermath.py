"""Measure the steps after exploding gradients, by stage of learning, in runs that log every step.

A run on the plateau at ln 4 behaves unlike a run that has learned, and cures change how long a run
stays at each stage. So each stage is measured separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.explosions import explosions
from hw2exp.diagnostics.spikes import running_median
from hw2exp.diagnostics.statistics import Estimate, Floats, median, rate
from hw2exp.records.arms import Arm, Run

Flags = NDArray[np.bool_]

BEFORE, AFTER = 20, 150
"""The numbers of steps measured before and after an explosion."""

SOON, LATE = 1, 30
"""First and last step after an explosion by which RMSprop's brake is judged."""

PLATEAU, LEARNED = 1.2, 1.0
"""Losses: a run is on the plateau from ``PLATEAU`` up, and has learned below ``LEARNED``."""


class Stage(StrEnum):
    """A stage of learning, by the median loss of the last ``BEFORE`` steps."""

    PLATEAU = "plateau"
    BETWEEN = "between"
    LEARNED = "learned"


@dataclass(frozen=True)
class Around:
    """The steps around an arm's explosions at a stage.

    A burst is an explosion without another in the ``BEFORE`` steps before it. The run must have
    ``BEFORE`` steps before the burst and ``AFTER`` steps after it.

    Args:
        runs: number of runs that have bursts.
        explosions: number of steps with an exploding gradient.
        bursts: number of bursts.
        steps: steps relative to the explosion, ``-BEFORE … AFTER``, ``(n,)``.
        updates: norm of the parameter update, relative to its median over the steps before; each
            run's median over its bursts, ``(runs, n)``.
        begun: number of spikes begun since the explosion, a mean over bursts, ``(AFTER,)``.
        moved: ``updates`` from ``SOON`` to ``LATE`` steps after: the median over runs.
        spikes: number of spikes that begin within ``AFTER`` steps, a mean over bursts.
        expected: mean number of spikes that begin in ``AFTER`` steps anywhere in the stage.
    """

    runs: int
    explosions: int
    bursts: int
    steps: NDArray[np.int64]
    updates: Floats
    begun: Floats
    moved: Estimate
    spikes: Estimate
    expected: float


@dataclass(frozen=True)
class Aftermath:
    """The steps around an arm's explosions, by stage.

    Args:
        arm: the arm.
        stages: the measures of each stage that has bursts.
    """

    arm: Arm
    stages: Mapping[Stage, Around]


@dataclass(frozen=True)
class _Watched:
    """A run's series, one value per step, ``(n,)`` each."""

    stages: NDArray[np.object_]
    exploded: Flags
    begun: Floats
    updates: Floats

    def bursts(self, stage: Stage) -> NDArray[np.int64]:
        """Return the places of the bursts at a stage, see :class:`Around`."""
        places = np.flatnonzero(self.exploded)
        first = np.diff(places, prepend=-BEFORE - 1) > BEFORE
        inside = (places >= BEFORE) & (places + AFTER < len(self.exploded))
        return np.asarray(places[first & inside & (self.stages[places] == stage)])


def aftermath(arm: Arm) -> Aftermath | None:
    """Measure an arm's explosions; None if a run doesn't log every step, or there are no bursts."""
    if any(run.config.log_every != 1 for run in arm.runs.values()):
        return None
    watched = [each for each in map(_watch, arm.runs.values()) if each is not None]
    around = {stage: _around(watched, stage) for stage in Stage}
    stages = {stage: each for stage, each in around.items() if each is not None}
    return Aftermath(arm, stages) if stages else None


def _watch(run: Run) -> _Watched | None:
    metrics = run.metrics()
    if "update_norm_max" not in metrics.columns:
        return None
    norms, updates, losses = (
        metrics[name].to_numpy().astype(float)
        for name in ("grad_norm_raw", "update_norm_max", "loss_train")
    )
    begun = np.zeros(len(norms))
    begun[[at for spike in run.result.spikes if (at := spike["start"] - 1) < len(begun)]] = 1
    before = running_median(losses[:, None], BEFORE)[:, 0]  # NaN at first: no stage
    stages = np.select(
        [before >= PLATEAU, before < LEARNED, before >= LEARNED],
        [Stage.PLATEAU, Stage.LEARNED, Stage.BETWEEN],
        default="",
    )
    return _Watched(stages, explosions(norms[:, None])[:, 0], begun, updates)


def _around(watched: Sequence[_Watched], stage: Stage) -> Around | None:
    places = [each.bursts(stage) for each in watched]
    looked = [(each, own) for each, own in zip(watched, places, strict=True) if len(own)]
    if not looked:
        return None
    steps = np.arange(-BEFORE, AFTER + 1)
    updates = np.stack([_relative(each.updates, own, steps) for each, own in looked])
    since = [each.begun[own[:, None] + steps[BEFORE + 1 :]].cumsum(1) for each, own in looked]
    late = (steps >= SOON) & (steps <= LATE)
    at_stage = [each.stages == stage for each in watched]
    begun = sum(float(each.begun[at].sum()) for each, at in zip(watched, at_stage, strict=True))
    return Around(
        runs=len(looked),
        explosions=sum(
            int(each.exploded[at].sum()) for each, at in zip(watched, at_stage, strict=True)
        ),
        bursts=sum(map(len, places)),
        steps=steps,
        updates=updates,
        begun=np.concatenate(since).mean(0),
        moved=median(np.median(updates[:, late], axis=1)),
        spikes=rate([each[:, -1].sum() for each in since], [len(each) for each in since]),
        expected=AFTER * begun / sum(int(at.sum()) for at in at_stage),
    )


def _relative(updates: Floats, places: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
    """Return the median of a run's relative update norms over its bursts, ``(n,)``."""
    around = updates[places[:, None] + steps]  # (bursts, n)
    before = np.median(around[:, :BEFORE], axis=1, keepdims=True)
    return np.asarray(np.median(around / np.maximum(before, np.finfo(float).tiny), axis=0))
