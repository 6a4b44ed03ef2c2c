"""Many training steps of a fleet in one call of compiled code.

The plain step, :func:`hw2exp.fleet.loop.plain_step`, is the definition; tests compare. A step
depends on nothing but the state before it, so that the number of steps in a call changes no bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.state import FleetState, Layout
from hw2exp.kernels.forms import ClosedForm
from hw2exp.kernels.loss import SequenceLoss, allocate
from hw2exp.kernels.passes import make_passes
from hw2exp.optim.compiled import CLIPS, OPTIMIZERS, STATES, clip_row, update_row
from hw2exp.system.kernel_cache import kernel, kernel_with
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.temporal_order import TRAIN, TemporalOrder, draw

Array = NDArray[Any]


@kernel
def norm_of(row: Any) -> Any:
    """Return the Euclidean norm of a row, in float64, summed in order."""
    total = 0.0
    for i in range(len(row)):
        total += np.float64(row[i]) ** 2
    return math.sqrt(total)


@kernel
def finite(values: Any) -> Any:
    """Return whether all numbers are finite."""
    for value in values.flat:  # noqa: SIM110  # numba has no all()
        if not math.isfinite(value):
            return False
    return True


forward_backward: Any = None  # bound to the cell's kernels in each copy of the steps
pack: Any = None
unpack: Any = None


def take_steps(
    first: Any,
    seeds: Any,
    task: Any,
    given: Any,
    batch: Any,
    cell: Any,
    state: Any,
    rates: Any,
    clip: Any,
    optimizer: Any,
    raw: Any,
    flow: Any,
    metrics: Any,
    sound: Any,
) -> Any:
    """Make steps until the last, or until a replica's numbers are not finite; return their count.

    Args:
        first: the number of the first step.
        seeds: one seed a replica, ``(R,)``.
        task: half-open ranges of the task, and whether sequences are framed.
        given: symbols ``(n, R, B, T)`` and labels ``(n, R, B)`` of the steps; if their length is 0,
            batches are drawn from the task.
        batch: memory for symbols ``(R, B, T)`` and labels ``(R, B)``.
        cell: weights, readout, working memory and gradients, see ``forward_backward``.
        state: parameters and optimizer's state ``(1 + STATES, R, P)``, number of updates ``(R,)``,
            clipping's state ``(R, 3)``; updated, except for a replica that is not finite.
        rates: learning rates, ``(n, R)``.
        clip: the clipping's number, and its knobs ``(R, 3)``.
        optimizer: the optimizer's number, and its knobs ``(R, 5)``.
        raw: output: the last step's gradient before clipping, ``(R, P)``.
        flow: output: the last step's ‖∂ℓ/∂h[t]‖², ``(R, T)``, or an array of length 0.
        metrics: output: loss ``(n, R)`` in the parameters' dtype; accuracy, the gradient's norm,
            its norm after clipping and the update's norm, ``(4, n, R)``.
        sound: output: whether a replica is still finite, ``(R,)``.
    """
    symbols, labels = batch
    weights, W, b, work, way_back, gradients, dW, db, path = cell
    rows, updates, seen = state
    loss, others = metrics
    R, B, _ = symbols.shape
    P = raw.shape[1]
    of_cell = P - W[0].size - b[0].size
    losses, correct = np.empty((R, B), raw.dtype), np.empty((R, B), np.bool_)
    clipped, after = np.empty(P, raw.dtype), np.zeros((1 + STATES, P), raw.dtype)
    seen_after = np.empty(3)
    sound[:] = True
    for k in range(len(rates)):
        if len(given[0]):
            symbols[:], labels[:] = given[0][k], given[1][k]
        else:
            draw(seeds, np.uint64(first + k), np.uint64(TRAIN), task[0], task[1], symbols, labels)
        for r in range(R):
            row = rows[0, r]
            pack(row[:of_cell], r, weights)
            W[r] = row[of_cell : of_cell + W[r].size].reshape(W[r].shape)
            b[r] = row[of_cell + W[r].size :]
        for gradient in gradients:
            gradient[:] = 0
        dW[:] = 0
        db[:] = 0
        flow[:] = 0
        forward_backward(
            symbols,
            labels,
            weights,
            W,
            b,
            work,
            (losses, correct),
            way_back,
            gradients,
            (dW, db),
            path,
            flow,
        )
        for r in range(R):
            g, row = raw[r], rows[0, r]
            unpack(row[:of_cell], r, gradients, g[:of_cell])
            g[of_cell : of_cell + dW[r].size] = dW[r].reshape(dW[r].size)
            g[of_cell + dW[r].size :] = db[r]
            norm = norm_of(g)
            clip_row(clip[0], g, norm, clip[1][r], seen[r], seen_after, clipped)
            clipped_norm = norm_of(clipped) if clip[0] else norm
            update_row(
                optimizer[0],
                row,
                clipped,
                rates[k, r],
                optimizer[1][r],
                updates[r] + 1,
                rows[1:, r],
                after,
            )
            total, right = 0.0, 0
            for i in range(B):
                total += losses[r, i]
                right += correct[r, i]
            loss[k, r] = total / B
            others[0, k, r], others[1, k, r], others[2, k, r] = right / B, norm, clipped_norm
            change = 0.0
            for i in range(P):
                change += np.float64(after[0, i] - row[i]) ** 2
            others[3, k, r] = math.sqrt(change)
            sound[r] = (
                math.isfinite(loss[k, r])
                and math.isfinite(norm)
                and finite(after)
                and finite(seen_after)
            )
            if sound[r]:
                rows[:, r] = after
                updates[r] += 1
                seen[r] = seen_after
        if not sound.all():
            return k + 1
    return len(rates)


@cache
def steps_with(form: ClosedForm) -> Any:
    """Return ``take_steps`` with the kernels of a cell; one copy a process, as it loads slowly.

    Args:
        form: the closed form of the cell.
    """
    _, own_pass = make_passes(form.forward, form.backward)
    name = f"{form.forward.__module__}_{form.forward.__name__}"
    own = {"forward_backward": own_pass, "pack": form.pack, "unpack": form.unpack}
    return kernel_with(take_steps, name, **own)


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


def is_compiled(config: TrainConfig) -> bool:
    """Return whether a config's steps have a compiled form, apart from its closed form.

    Args:
        config: the config of a run.
    """
    return (
        config.optimizer.name in OPTIMIZERS
        and config.clip.name in CLIPS
        and config.regularizer.name == "none"
    )


class CompiledSteps:
    """The compiled steps of a fleet.

    Args:
        configs: one config a replica.
        loss: the closed form of the model.
        task: the task.
        layout: the layout of the parameters.
        notebook: the notebook's stream, if batches come from it.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        loss: SequenceLoss,
        task: TemporalOrder,
        layout: Layout,
        notebook: NotebookStream | None = None,
    ) -> None:
        self.loss = loss
        self.task = task
        self.layout = layout
        self.notebook = notebook
        self._seeds = np.array([config.seed for config in configs], dtype=np.uint64)
        self._clip_names = CLIPS[configs[0].clip.name][1]
        self._clip = _numbered(CLIPS[configs[0].clip.name], [c.clip for c in configs], 3)
        rule, knobs, self._names = OPTIMIZERS[configs[0].optimizer.name]
        self._optimizer = _numbered((rule, knobs), [c.optimizer for c in configs], 5)
        self._batch_size = configs[0].batch_size
        self._memory: dict[Any, tuple[Any, ...]] = {}
        self._take_steps = steps_with(loss.form)

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
        task = (self.task.length, self.task.t1, self.task.t2), self.task.framed
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
        done = self._take_steps(
            first, self._seeds, task, self._given(first, n, symbols), (symbols, labels),
            self._cell(before, dtype), (rows, updates, seen), rates.numpy(), self._clip,
            self._optimizer, raw, flow, (loss, others), sound,
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

    def _cell(self, state: FleetState, dtype: Any) -> tuple[Any, ...]:
        """Return the memory of a pass: weights, readout, working memory and gradients."""
        if dtype not in self._memory:
            params, loss = self.layout.unflatten(state.params), self.loss
            shapes = [weight.shape for weight in loss.form.weights(params)]
            W, b = (np.empty(params[f"readout_{name}"].shape, dtype) for name in ("weight", "bias"))
            sizes = self.task.padded_length, loss.rows, loss.hidden_size, loss.lags
            work, way_back = allocate(loss.form, sizes, W.shape[1], dtype)
            weights, gradients = (tuple(np.empty(s, dtype) for s in shapes) for _ in range(2))
            path = np.empty((0, 2, 0, 0, 0), dtype)
            self._memory[dtype] = (
                weights, W, b, work, way_back, gradients, np.empty_like(W), np.empty_like(b), path,
            )  # fmt: skip
        return self._memory[dtype]


def _numbered(
    rule: tuple[int, Sequence[str]], sections: Sequence[Any], width: int
) -> tuple[int, Array]:
    """Return a rule's number, and the knobs of each replica ``(R, width)``."""
    number, names = rule
    knobs = np.zeros((len(sections), width))
    for r, section in enumerate(sections):
        knobs[r, : len(names)] = [float(getattr(section, name)) for name in names]
    return number, knobs
