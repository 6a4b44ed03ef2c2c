"""Many training steps of a fleet in one call of compiled code.

The plain step, :func:`hw2exp.fleet.loop.plain_step`, is the definition; tests compare both. A step
depends only on the state before it, so that the number of steps in a call changes no bit.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.knob import Choice
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.measurements import StepMetrics, StepTrace
from hw2exp.fleet.state import FleetState
from hw2exp.fleet.step_kernel import steps_with
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.optim.compiled import (
    CLIP_KNOBS,
    CLIP_STATES,
    CLIPS,
    OPTIMIZER_KNOBS,
    OPTIMIZERS,
    STATES,
)
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import TemporalOrder

Array = NDArray[Any]


class CompiledSteps:
    """The compiled steps of a fleet.

    Args:
        configs: the config of each replica.
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
        self._clip = CLIPS[configs[0].clip.name], _knobs([c.clip for c in configs], CLIP_KNOBS)
        rule, self._names = OPTIMIZERS[configs[0].optimizer.name]
        self._optimizer = rule, _knobs([c.optimizer for c in configs], OPTIMIZER_KNOBS)
        self._batch_size = configs[0].batch_size
        self._take_steps = steps_with(loss.passes["learn"])

    def run(
        self, before: FleetState, first: int, rates: Tensor, keeps_flow: bool, skipped: int = 0
    ) -> tuple[StepMetrics, StepTrace]:
        """Make steps; stop early after a step in which a replica diverges.

        Args:
            before: the state before the first step; it stays unchanged.
            first: the number of the first step.
            rates: the learning rates of the steps, ``(n, R)`` in float64.
            keeps_flow: whether to return ‖∂ℓ/∂h[t]‖ of the last step, too.
            skipped: the number of training batches left out before the first step.

        Returns:
            The measurements of the steps made, each ``(n, R)``, and the tensors of the last step,
            in which ``before`` is the state before the first step.
        """
        (n, R), P, dtype = rates.shape, before.params.shape[1], before.params.numpy().dtype
        symbols = np.empty((R, self._batch_size, self.task.padded_length), np.uint8)
        labels = np.empty(symbols.shape[:2], np.uint8)
        state = self._arrays(before)
        raw, sound = np.empty((R, P), dtype), np.empty(R, np.bool_)
        flow = np.zeros((R if keeps_flow else 0, symbols.shape[2]))
        loss, others = np.empty((n, R), dtype), np.empty((4, n, R))
        ranges = self.task.length, self.task.t1, self.task.t2
        task = self._seeds, ranges, self.task.framed, self._given(first + skipped, n, symbols)
        done = self._take_steps(
            first + skipped, task, (symbols, labels), self.loss.memory(symbols.shape, dtype), state,
            rates.numpy(), (self._clip, self._optimizer), (loss, others), (raw, flow), sound,
        )  # fmt: skip
        after = self._state(before, state).after(first + done - 1, torch.from_numpy(sound))
        accuracy, norm, clipped, update = torch.from_numpy(others[:, :done])
        batch = torch.from_numpy(symbols), torch.from_numpy(labels)
        kept = torch.from_numpy(np.sqrt(flow)) if keeps_flow else None
        trace = StepTrace(before, after, *batch, torch.from_numpy(raw), kept)
        losses = torch.from_numpy(loss[:done])
        metrics = StepMetrics(losses, accuracy, norm, clipped, update, rates[:done])
        return metrics, trace

    def _arrays(self, state: FleetState) -> tuple[Array, Array, Array]:
        """Return copies of a state's arrays in the form that ``take_steps`` needs."""
        params = state.params.numpy()
        rows = np.zeros((1 + STATES, *params.shape), params.dtype)
        rows[0] = params
        for place, name in enumerate(self._names, 1):
            if name in state.optimizer:
                rows[place] = state.optimizer[name].numpy()
        updates, seen = np.zeros(len(params)), np.zeros((len(params), CLIP_STATES))
        if "updates" in state.optimizer:
            updates[:] = state.optimizer["updates"].numpy()
        for column, name in enumerate(state.clip):
            seen[:, column] = state.clip[name].numpy()
        return rows, updates, seen

    def _state(self, before: FleetState, arrays: tuple[Array, Array, Array]) -> FleetState:
        """Return a state whose parameters, optimizer and clipping come from arrays."""
        rows, updates, seen = arrays
        by_name = dict(zip(self._names, rows[1:], strict=False)) | {"updates": updates}
        return replace(
            before,
            params=torch.from_numpy(rows[0]),
            optimizer={name: torch.from_numpy(by_name[name]) for name in before.optimizer},
            clip={n: torch.from_numpy(seen[:, i].copy()) for i, n in enumerate(before.clip)},
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
