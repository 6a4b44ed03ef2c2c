"""Loss curves over many seeds, trained on the spot, with all that a look at spikes needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.config.command_line import read
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.spikes import Spike, find_spikes
from hw2exp.fleet import Fleet
from hw2exp.task import TRAIN
from hw2exp.training import Measured, Tested, train

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """R runs of n steps that differ in their seed only; NaN after a run's divergence.

    Args:
        configs: their configs.
        initial_loss: before training, ``(R,)``.
        losses: of every step's batch, before its update, ``(n, R)``.
        norms: of every step's gradient, before clipping, ``(n, R)``.
        params: in rows, those that each step's loss was of, ``(n, R, P)``; or nothing.
    """

    configs: Sequence[TrainConfig]
    initial_loss: Floats
    losses: Floats
    norms: Floats
    params: NDArray[np.float32] | None

    def spikes(self, run: int) -> list[Spike]:
        """The spikes of a run.

        Args:
            run: which.
        """
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
        """Steps of the running median."""
        return self.configs[0].spikes.window

    def spikes_per_1000(self) -> Floats:
        """Of each run, per 1,000 of the steps that it made before it diverged, ``(R,)``."""
        counts = np.array([len(self.spikes(run)) for run in range(len(self.configs))])
        return np.asarray(1_000 * counts / np.maximum(np.isfinite(self.losses).sum(0), 1))

    def diverged(self) -> int:
        """How many runs did."""
        return int((~np.isfinite(self.losses[-1])).sum())

    def last_loss(self) -> float:
        """The median over the runs of each one's median loss of its last 50 steps."""
        return float(np.nanmedian(np.nanmedian(self.losses[-50:], axis=0)))


class _Notes:
    """An observer that keeps everything."""

    def __init__(self, fleet: Fleet, keep_params: bool) -> None:
        self.fleet, steps, runs = fleet, fleet.config.steps, len(fleet.configs)
        self.losses, self.norms = np.full((2, steps, runs), np.nan)
        rows = fleet.state.params.numpy()
        self.params = np.full((steps, *rows.shape), np.nan, np.float32) if keep_params else None
        if self.params is not None:
            self.params[0] = rows

    def observe(self, step: int, measured: Measured, tested: Tested | None) -> None:
        """Keep a step's loss and norm, and the parameters that the next loss will be of."""
        members = self.fleet.members
        self.losses[step - 1, members] = measured.loss.numpy()
        self.norms[step - 1, members] = measured.grad_norm_raw.numpy()
        if self.params is not None and step < len(self.params):
            self.params[step, members] = self.fleet.state.params.numpy()


def train_curves(overrides: Sequence[str], seeds: int, keep_params: bool = False) -> Curves:
    """Train runs that differ in their seed only, and keep what they went through.

    Args:
        overrides: as for the command.
        seeds: how many runs, of the seeds from 0 on.
        keep_params: also the parameters at every step.
    """
    configs = [job.config for job in read(["-m", *overrides, f"seed=range(0,{seeds})"]).jobs]
    fleet = Fleet(configs)
    loss, _ = fleet.initial()
    notes = _Notes(fleet, keep_params)
    train(fleet, [notes])
    return Curves(configs, loss.double().numpy(), notes.losses, notes.norms, notes.params)


def recomputed_losses(curves: Curves, step: int) -> Floats:
    """A step's losses once more, from the parameters kept and by the equations, ``(R,)``.

    Args:
        curves: with parameters.
        step: counted from 1; no run has diverged by then.
    """
    assert curves.params is not None
    fleet = Fleet([c.model_copy(update={"closed_form": False}) for c in curves.configs])
    rows = torch.from_numpy(curves.params[step - 1])  # (R, P)
    symbols, labels = fleet.batch(step, TRAIN, fleet.config.batch_size)
    with torch.no_grad():
        loss, _ = fleet.model.mean_loss(fleet.layout.unflatten(rows), symbols, labels)
    return loss.double().numpy()
