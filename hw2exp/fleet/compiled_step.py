"""Many training steps of a fleet in one call of compiled code.

The plain step, :func:`hw2exp.fleet.loop.plain_step`, is the definition; tests compare. A step
depends on nothing but the state before it, so that the number of steps in a call changes no bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.knob import Choice
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.state import FleetState
from hw2exp.fleet.step_kernel import steps_with
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.optim.compiled import CLIPS, OPTIMIZERS, STATES
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.temporal_order import TRAIN, TemporalOrder

Array = NDArray[Any]


@dataclass(frozen=True)
class Block:
    """The results of some steps in one call.

    Args:
        state: the state after the last step.
        loss: the mean loss of each step, ``(n, R)``.
        others: accuracy, gradient norm, clipped norm and update norm, each ``(n, R)``.
        rates: the learning rates, ``(n, R)``.
        grads: the last step's gradient before clipping, ``(R, P)``.
        flow: the last step's ‖∂ℓ/∂h[t]‖, ``(R, T)``, if requested.
        symbols: the last step's symbols, ``(R, B, T)``.
        labels: the last step's labels, ``(R, B)``.
    """

    state: FleetState
    loss: Tensor
    others: Tensor
    rates: Tensor
    grads: Tensor
    flow: Tensor | None
    symbols: Tensor
    labels: Tensor


class CompiledSteps:
    """The compiled steps of a fleet.

    Args:
        configs: one config a replica.
        loss: the closed form of the model.
        task: the task.
        notebook: the notebook's stream, if batches come from it.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        loss: SequenceLoss,
        task: TemporalOrder,
        notebook: NotebookStream | None = None,
    ) -> None:
        self.loss = loss
        self.task = task
        self.notebook = notebook
        self._seeds = np.array([config.seed for config in configs], dtype=np.uint64)
        self._clip = CLIPS[configs[0].clip.name], _knobs([c.clip for c in configs], 3)
        rule, self._names = OPTIMIZERS[configs[0].optimizer.name]
        self._optimizer = rule, _knobs([c.optimizer for c in configs], 5)
        self._batch_size = configs[0].batch_size
        self._take_steps = steps_with(loss.passes["learn"])

    def run(self, before: FleetState, first: int, rates: Tensor, keeps_flow: bool) -> Block:
        """Make steps; stop early after a step in which a replica diverges.

        Args:
            before: the state before the first step; it stays as it is.
            first: the number of the first step.
            rates: the learning rates of the steps, ``(n, R)`` in float64.
            keeps_flow: also return ‖∂ℓ/∂h[t]‖ of the last step.
        """
        params = before.params.numpy()
        (n, R), P, dtype = rates.shape, params.shape[1], params.dtype
        symbols = np.empty((R, self._batch_size, self.task.padded_length), np.uint8)
        labels = np.empty(symbols.shape[:2], np.uint8)
        rows = np.zeros((1 + STATES, R, P), dtype)
        rows[0] = params
        for place, name in enumerate(self._names, 1):
            if name in before.optimizer:
                rows[place] = before.optimizer[name].numpy()
        updates = np.zeros(R)
        if "updates" in before.optimizer:
            updates[:] = before.optimizer["updates"].numpy()
        seen = np.zeros((R, 3))
        for column, name in enumerate(before.clip):
            seen[:, column] = before.clip[name].numpy()
        raw, sound = np.empty((R, P), dtype), np.empty(R, np.bool_)
        flow = np.zeros((R if keeps_flow else 0, symbols.shape[2]))
        loss, others = np.empty((n, R), dtype), np.empty((4, n, R))
        ranges = self.task.length, self.task.t1, self.task.t2
        task = self._seeds, ranges, self.task.framed, self._given(first, n, symbols)
        done = self._take_steps(
            first, task, (symbols, labels), self.loss.memory(symbols.shape, dtype),
            (rows, updates, seen), rates.numpy(), (self._clip, self._optimizer), (loss, others),
            (raw, flow), sound,
        )  # fmt: skip
        places = {name: place for place, name in enumerate(self._names, 1)}
        optimizer = {
            name: torch.from_numpy(rows[places[name]] if name in places else updates)
            for name in before.optimizer
        }
        clip = {name: torch.from_numpy(seen[:, n].copy()) for n, name in enumerate(before.clip)}
        last, still = first + done - 1, torch.from_numpy(sound)
        after = replace(
            before,
            params=torch.from_numpy(rows[0]),
            optimizer=optimizer,
            clip=clip,
            active=still,
            step=torch.full_like(before.step, last),
            diverged_at=torch.where(still, before.diverged_at, last),
        )
        return Block(
            after,
            torch.from_numpy(loss[:done]),
            torch.from_numpy(others[:, :done]),
            rates[:done],
            torch.from_numpy(raw),
            torch.from_numpy(np.sqrt(flow)) if keeps_flow else None,
            torch.from_numpy(symbols),
            torch.from_numpy(labels),
        )

    def _given(self, first: int, n: int, symbols: Array) -> tuple[Array, Array]:
        """Return the batches of n steps from the notebook's stream, or arrays of length 0."""
        if self.notebook is None:
            return np.empty((0, *symbols.shape), np.uint8), np.empty(
                (0, *symbols.shape[:2]), np.uint8
            )
        size = symbols.shape[1]
        batches = [
            self.notebook.batch(self._seeds, step, size, TRAIN) for step in range(first, first + n)
        ]
        drawn, labels = (np.stack(column) for column in zip(*batches, strict=True))
        return drawn, labels


def _knobs(sections: Sequence[Choice], width: int) -> Array:
    """Return each replica's knobs without the learning rate, in the order of their class."""
    names = [name for name in type(sections[0]).model_fields if name not in ("name", "lr")]
    knobs = np.zeros((len(sections), width))
    for r, section in enumerate(sections):
        knobs[r, : len(names)] = [float(getattr(section, name)) for name in names]
    return knobs
