"""The loss of sequences under a cell and its readout, in closed form: one function for autograd."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hw2exp.axes import Params, Shape
from hw2exp.closed_form import readout
from hw2exp.closed_form.forms import ClosedForm
from hw2exp.closed_form.lanes import WIDTH
from hw2exp.kernel import kernel

Array = NDArray[Any]
Arrays = tuple[Array, ...]


@dataclass
class Work:
    """The arrays of one pass, used again by the next: new memory would cost more than the pass.

    Args:
        x: inputs, ``(R, N, T, I, 16)``; N times 16 sequences.
        h: states, ``(R, N, T+1, H, 16)``.
        p: probabilities of the classes, ``(R, N, C, 16)``.
        dy: gradient of 16 sequences' logits, ``(C, 16)``.
        delta: ∂ℓ/∂h[t], ``(R, N, T+1, H, 16)``.
        kept: what the form keeps for the way back.
        scratch: what it needs besides.
        passes: how many passes were made with it.
    """

    x: Array
    h: Array
    p: Array
    dy: Array
    delta: Array
    kept: Arrays
    scratch: Arrays
    passes: int = 0


class SequenceLoss:
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
        self._batch_size = WIDTH

    def __call__(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return each sequence's loss, differentiable before the next call, and was it correct.

        Args:
            params: the parameters of cell and readout, each ``(R, ...)``.
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.

        Returns:
            Two tensors ``(R, B)``.
        """
        weights = *self.form.weights(params), params["readout_weight"], params["readout_bias"]
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            self._batch_size = symbols.shape[1]
            return _Loss.apply(self, symbols.numpy(), labels.numpy(), *weights)  # type: ignore[no-any-return, no-untyped-call]
        arrays = _arrays(weights)
        size = self._batch_size
        parts = [  # one by one, so that the states of all sequences need not exist at once
            self.forward(symbols[:, i : i + size].numpy(), labels[:, i : i + size].numpy(), arrays)
            for i in range(0, symbols.shape[1], size)
        ]
        losses, correct = (np.concatenate(column, 1) for column in zip(*parts, strict=True))
        return torch.from_numpy(losses), torch.from_numpy(correct)

    def forward(self, symbols: Array, labels: Array, weights: Arrays) -> tuple[Array, Array]:
        """Make a pass forward; its arrays stay in ``work`` until the next.

        Args:
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.
            weights: of the form, then those of the readout.
        """
        *of_cell, W, b = weights
        work = self._prepare(symbols.shape, len(b[0]), W.dtype)
        work.passes += 1
        symbols, labels = np.ascontiguousarray(symbols), np.ascontiguousarray(labels)
        one_hot(symbols, work.x, self.form.ones)
        self.form.forward(work.x, tuple(of_cell), work.h, work.kept)
        losses, correct = np.empty(labels.shape, W.dtype), np.empty(labels.shape, bool)
        readout.forward(work.h, W, b, labels, work.p, losses, correct)
        return losses, correct

    def backward(self, labels: Array, weights: Arrays, upstream: Array) -> Arrays:
        """Go the way of the last pass back.

        Args:
            labels: those of the pass.
            weights: those of the pass.
            upstream: the gradient of what is minimized by each sequence's loss, ``(R, B)``.

        Returns:
            The gradients of the weights.
        """
        *of_cell, W, _ = weights
        work = self.work
        gradients = tuple(np.zeros_like(weight) for weight in weights)
        *into_cell, dW, db = gradients
        readout.backward(work.h, W, labels, work.p, upstream, work.delta, dW, db, work.dy)
        self.form.backward(
            work.x,
            tuple(of_cell),
            work.h,
            work.kept,
            work.delta,
            tuple(into_cell),
            work.scratch,
        )
        return gradients

    def _prepare(self, sequences: Shape, classes: int, dtype: Any) -> Work:
        replicas, batch_size, steps = sequences
        each, H = (replicas, -(-batch_size // WIDTH)), self.hidden_size
        x = (*each, steps, self.rows, WIDTH)
        if self._work is None or self._work.x.shape != x or self._work.x.dtype != dtype:
            sizes = steps, self.rows, H, self.lags
            states = (*each, steps + 1, H, WIDTH)
            self._work = Work(
                x=np.zeros(x, dtype),
                h=np.zeros(states, dtype),
                p=np.zeros((*each, classes, WIDTH), dtype),
                dy=np.zeros((classes, WIDTH), dtype),
                delta=np.zeros(states, dtype),
                kept=tuple(np.zeros((*each, *s, WIDTH), dtype) for s in self.form.kept(*sizes)),
                scratch=tuple(np.zeros((*s, WIDTH), dtype) for s in self.form.scratch(*sizes)),
            )
        return self._work

    @property
    def work(self) -> Work:
        """The arrays of the last pass."""
        assert self._work is not None, "no pass was made"
        return self._work

    def state_gradients(self) -> Tensor:
        """Total derivatives of what was minimized by h[t], t = 1…T, ``(R, T, B, H)``."""
        delta = np.moveaxis(self.work.delta[:, :, 1:], 1, 2)  # (R, T, N, H, 16)
        gradients = np.moveaxis(delta, 4, 3).reshape(*delta.shape[:2], -1, self.hidden_size)
        return torch.from_numpy(gradients[:, :, : self._batch_size].copy())


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loss: SequenceLoss, symbols: Array, labels: Array, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.loss, ctx.labels, ctx.arrays = loss, labels, _arrays(weights)
        losses, correct = map(torch.from_numpy, loss.forward(symbols, labels, ctx.arrays))
        ctx.passes = loss.work.passes
        ctx.mark_non_differentiable(correct)
        return losses, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.passes != ctx.loss.work.passes:
            raise RuntimeError("another pass was made since; the states of this one are gone")
        gradients = ctx.loss.backward(ctx.labels, ctx.arrays, upstream.contiguous().numpy())
        return None, None, None, *map(torch.from_numpy, gradients)


def _arrays(weights: tuple[Tensor, ...]) -> Arrays:
    return tuple(weight.detach().contiguous().numpy() for weight in weights)


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
