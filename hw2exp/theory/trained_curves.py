"""Train loss curves over many seeds on the spot, with the records that explain spikes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.config.command_line import read
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.spikes import find_spikes
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.evaluation import evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.records.spike import Spike
from hw2exp.tasks.task import TRAIN


@dataclass(frozen=True)
class TrainedCurves:
    """The curves of R runs of n steps that differ only in the seed; NaN after a divergence.

    Args:
        configs: the config of each run.
        initial_loss: the loss before training, ``(R,)``.
        losses: the loss of every step's batch, before its update, ``(n, R)``.
        norms: the gradient norm of every step, before clipping, ``(n, R)``.
        params: the flattened parameters before every step, at which ``losses`` was computed,
            ``(n, R, P)``; None if not kept.
    """

    configs: Sequence[TrainConfig]
    initial_loss: Floats
    losses: Floats
    norms: Floats
    params: NDArray[np.float32] | None

    def spikes(self, run: int) -> list[Spike]:
        """Find the spikes of a run."""
        found = self.configs[run].spikes
        return find_spikes(
            self.losses[:, run],
            found.window,
            found.margin,
            found.deviations,
            float(self.initial_loss[run]),
        )

    @property
    def window(self) -> int:
        """Return the window of the running median, in steps."""
        return self.configs[0].spikes.window

    def spikes_per_1000(self) -> Floats:
        """Return each run's number of spikes per 1,000 steps before divergence, ``(R,)``."""
        counts = np.array([len(self.spikes(run)) for run in range(len(self.configs))])
        return np.asarray(1_000 * counts / np.maximum(np.isfinite(self.losses).sum(0), 1))

    def diverged(self) -> int:
        """Return the number of runs that diverged."""
        return int((~np.isfinite(self.losses[-1])).sum())

    def last_loss(self) -> float:
        """Return the median over the runs of the median loss of the last 50 steps."""
        return float(np.nanmedian(np.nanmedian(self.losses[-50:], axis=0)))


class _Notes:
    """An observer that keeps every step's loss and gradient norm, and optionally parameters."""

    def __init__(self, fleet: Fleet, keep_params: bool) -> None:
        self.fleet, steps, runs = fleet, fleet.config.steps, len(fleet.configs)
        self.losses, self.norms = np.full((2, steps, runs), np.nan)
        rows = fleet.state.params.numpy()
        self.params = np.full((steps, *rows.shape), np.nan, np.float32) if keep_params else None
        if self.params is not None:
            self.params[0] = rows

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Keep losses and norms, and the parameters after the steps, where the next step starts."""
        members, rows = self.fleet.members, slice(steps.start - 1, steps.stop - 1)
        self.losses[rows, members] = metrics.loss.numpy()
        self.norms[rows, members] = metrics.grad_norm_raw.numpy()
        if self.params is not None and steps[-1] < len(self.params):
            self.params[steps[-1], members] = self.fleet.state.params.numpy()


def train_curves(overrides: Sequence[str], seeds: int, keep_params: bool = False) -> TrainedCurves:
    """Train runs that differ in their seed only, and return their curves.

    Args:
        overrides: overrides as on the command line.
        seeds: the number of runs; their seeds count from 0.
        keep_params: whether to keep the parameters of every step too.
    """
    configs = [job.config for job in read(["-m", *overrides, f"seed=range(0,{seeds})"]).jobs]
    fleet = Fleet(configs)
    loss, *_ = evaluate_initial(fleet)
    notes = _Notes(fleet, keep_params)
    # The state changes only after a block, so keeping that of every step needs blocks of one step.
    train(fleet, [notes], block=1 if keep_params else None)
    return TrainedCurves(configs, loss.double().numpy(), notes.losses, notes.norms, notes.params)


def recomputed_losses(curves: TrainedCurves, step: int) -> Floats:
    """Recompute a step's losses from its kept parameters without the closed form, ``(R,)``.

    Args:
        curves: the curves of R runs, with parameters.
        step: the step, from 1.
    """
    assert curves.params is not None
    fleet = Fleet([c.model_copy(update={"closed_form": False}) for c in curves.configs])
    rows = torch.from_numpy(curves.params[step - 1])  # (R, P)
    symbols, labels = fleet.batch(step, TRAIN, fleet.config.batch_size)
    with torch.no_grad():
        loss, _ = fleet.model.mean_loss(fleet.layout.unflatten(rows), symbols, labels)
    return loss.double().numpy()
