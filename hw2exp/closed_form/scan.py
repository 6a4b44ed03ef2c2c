"""A cell over a whole sequence, by its closed form: one function for autograd."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hw2exp.axes import Params, Shape
from hw2exp.closed_form.forms import ClosedForm
from hw2exp.closed_form.kernel import kernel
from hw2exp.closed_form.lanes import WIDTH

Array = NDArray[Any]


@dataclass
class Work:
    """The arrays of one pass, used again by the next: new memory would cost more than the pass.

    Args:
        x: inputs, ``(R, N, T, I, 16)``; N times 16 sequences.
        h: states, ``(R, N, T+1, H, 16)``.
        delta: ∂ℓ/∂h[t], ``(R, N, T+1, H, 16)``.
        kept: what the form keeps for the way back.
        scratch: what it needs besides.
        passes: how many passes were made with it.
    """

    x: Array
    h: Array
    delta: Array
    kept: tuple[Array, ...]
    scratch: tuple[Array, ...]
    passes: int = 0


class Scan:
    """Runs a cell over sequences of symbols, forward and backward in closed form, on the CPU.

    Args:
        form: the cell's closed form.
        hidden_size: H.
        input_size: I, the number of symbols; higher symbols are zero vectors.
        lags: K, of a cell that has lags.
    """

    def __init__(self, form: ClosedForm, hidden_size: int, input_size: int, lags: int = 1) -> None:
        self.form = form
        self.hidden_size = hidden_size
        self.rows = input_size + form.ones
        self.lags = lags
        self._work: Work | None = None
        self._batch_size = 0

    def __call__(self, params: Params, symbols: Tensor) -> Tensor:
        """Return the last state, ``(R, B, H)``; differentiable once, before the next call.

        Args:
            params: the cell's parameters, each ``(R, ...)``.
            symbols: ``(R, B, T)``.
        """
        weights = self.form.weights(params)
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            self._batch_size = symbols.shape[1]
            last: Tensor = _Scan.apply(self, symbols.numpy(), *weights)  # type: ignore[no-untyped-call]
            return last
        arrays = _arrays(weights)
        blocks = [  # in parts, so that the states of all sequences need not exist at once
            self.forward(part.numpy(), arrays)
            for part in symbols.split(max(self._batch_size, WIDTH), 1)
        ]
        return torch.from_numpy(np.concatenate(blocks, 1))

    def forward(self, symbols: Array, weights: tuple[Array, ...]) -> Array:
        """Make a pass forward; its arrays stay in ``work`` until the next.

        Args:
            symbols: ``(R, B, T)``.
            weights: of the form.
        """
        replicas, batch_size, steps = symbols.shape
        shape = replicas, -(-batch_size // WIDTH), steps
        work = self._prepare(shape, weights[0].dtype)
        work.passes += 1
        one_hot(symbols, work.x, self.form.ones)
        self.form.forward(work.x, weights, work.h, work.kept)
        return _sequences(work.h[:, :, -1], batch_size)  # (R, B, H)

    def _prepare(self, shape: Shape, dtype: Any) -> Work:
        replicas, blocks, steps = shape
        H, K = self.hidden_size, self.lags
        x = (*shape, self.rows, WIDTH)
        if self._work is None or self._work.x.shape != x or self._work.x.dtype != dtype:
            sizes = steps, self.rows, H, K
            states = (replicas, blocks, steps + 1, H, WIDTH)
            kept = [(replicas, blocks, *rows, WIDTH) for rows in self.form.kept(*sizes)]
            scratch = [(*rows, WIDTH) for rows in self.form.scratch(*sizes)]
            self._work = Work(
                np.zeros(x, dtype),
                np.zeros(states, dtype),
                np.zeros(states, dtype),
                tuple(np.zeros(size, dtype) for size in kept),
                tuple(np.zeros(size, dtype) for size in scratch),
            )
        return self._work

    def backward(self, weights: tuple[Array, ...], last: Array) -> tuple[Array, ...]:
        """Go the way of the last pass back.

        Args:
            weights: those of the pass.
            last: ∂ℓ/∂h[T], ``(R, B, H)``.

        Returns:
            The gradients of the weights.
        """
        work = self.work
        replicas, blocks, _, H, _ = work.delta.shape
        padded = np.zeros((replicas, blocks * WIDTH, H), last.dtype)
        padded[:, : last.shape[1]] = last
        work.delta[:, :, -1] = padded.reshape(replicas, blocks, WIDTH, H).swapaxes(2, 3)
        gradients = tuple(np.zeros_like(weight) for weight in weights)
        self.form.backward(
            work.x, weights, work.h, work.kept, work.delta, gradients, work.scratch
        )
        return gradients

    @property
    def work(self) -> Work:
        """The arrays of the last pass."""
        assert self._work is not None, "no pass was made"
        return self._work

    def state_gradients(self) -> Tensor:
        """∂ℓ/∂h[t] of the last training pass for t = 1…T, ``(R, T, B, H)``."""
        delta = np.moveaxis(self.work.delta[:, :, 1:], 1, 2)  # (R, T, N, H, 16)
        gradients = np.moveaxis(delta, 4, 3).reshape(*delta.shape[:2], -1, self.hidden_size)
        return torch.from_numpy(gradients[:, :, : self._batch_size].copy())


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scan: Scan, symbols: Array, *weights: Tensor) -> Tensor:
        ctx.scan, ctx.arrays = scan, _arrays(weights)
        last = torch.from_numpy(scan.forward(symbols, ctx.arrays))
        ctx.passes = scan.work.passes
        return last

    @staticmethod
    @once_differentiable  # type: ignore[no-untyped-call, untyped-decorator]
    def backward(ctx: Any, last: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.passes != ctx.scan.work.passes:
            raise RuntimeError("another pass was made since; its states are no longer there")
        gradients = ctx.scan.backward(ctx.arrays, last.numpy())
        return None, None, *(torch.from_numpy(gradient) for gradient in gradients)


def _arrays(weights: tuple[Tensor, ...]) -> tuple[Array, ...]:
    return tuple(weight.detach().contiguous().numpy() for weight in weights)


def _sequences(lanes: Array, batch_size: int) -> Array:
    """From ``(R, N, H, 16)`` to ``(R, B, H)``."""
    rows = lanes.swapaxes(2, 3).reshape(len(lanes), -1, lanes.shape[2])
    return np.ascontiguousarray(rows[:, :batch_size])


@kernel
def one_hot(symbols: Any, x: Any, ones: Any) -> None:
    """Write symbols as input vectors; padding, and sequences that are not there, as zeros.

    Args:
        symbols: ``(R, B, T)``.
        x: ``(R, N, T, I, 16)``, to be filled.
        ones: the last of the I rows is one.
    """
    R, B, T = symbols.shape
    I = x.shape[3] - ones
    x[:] = 0.0
    for r in range(R):
        for b in range(B):
            block, lane = b // WIDTH, b % WIDTH
            for t in range(T):
                symbol = symbols[r, b, t]
                if symbol < I:
                    x[r, block, t, symbol, lane] = 1.0
        if ones:
            x[r, :, :, I, :] = 1.0
