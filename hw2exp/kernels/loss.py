"""The loss of a cell with its readout, in closed form, as one autograd function."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hw2exp.kernels.forms import ClosedForm
from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.passes import make_passes
from hw2exp.models.axes import Params, State

Array = NDArray[Any]
Arrays = tuple[Array, ...]


class SequenceLoss:
    """The loss of sequences of symbols, with forward and backward passes in closed form on the CPU.

    Args:
        form: the cell's closed form.
        hidden_size: number of units, H.
        input_size: number of symbols, I; higher symbols are zero vectors.
        lags: number of lags, K, of an attention cell.

    Attributes:
        keeps_state_gradients: whether ``mean`` keeps h[t] and ∂ℓ/∂h[t], which the pass computes
            anyway.
        keeps_flow: whether ``mean`` keeps ‖∂ℓ/∂h[t]‖.
        states: h[t], t = 1…T, ``(R, B, T, H)``, of the last call of ``mean``, if kept.
        state_gradients: total derivatives of the mean loss, ∂ℓ/∂h[t], ``(R, B, T, H)``, if kept.
        flow: ‖∂ℓ/∂h[t]‖ over all sequences, t = 1…T, ``(R, T)`` in float64, if kept.
    """

    def __init__(self, form: ClosedForm, hidden_size: int, input_size: int, lags: int = 1) -> None:
        self.form = form
        self.hidden_size = hidden_size
        self.rows = input_size + form.ones
        self.lags = lags
        self.keeps_state_gradients = False
        self.keeps_flow = False
        self.flow: Tensor | None = None
        self.states: Tensor | None = None
        self.state_gradients: Tensor | None = None
        self._evaluate, self._forward_backward = make_passes(form.forward, form.backward)
        self._path: Array = np.empty(0)
        self._work: tuple[Any, ...] | None = None
        self._way_back: tuple[Array, Arrays] | None = None

    @torch.no_grad()
    def each(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Compute the loss of each sequence, and whether it is classified correctly, ``(R, B)``.

        Args:
            params: the parameters of cell and readout, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
            statistics: unused, because there is no norm.

        Returns:
            The losses, the correct sequences, and no statistics.
        """
        weights = as_arrays(self._weights(params))
        out = outputs(labels.shape, weights[-1].dtype)
        self._evaluate(*self._inputs(symbols, labels, weights), out)
        return torch.from_numpy(out[0]), torch.from_numpy(out[1]), {}

    def mean(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the differentiable mean loss ``(R,)``, and the correct sequences ``(R, B)``.

        Args:
            params: the parameters of cell and readout, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
        """
        weights = self._weights(params)
        return Mean.apply(self, symbols, labels, *weights)  # type: ignore[no-any-return, no-untyped-call]

    def forward_backward(
        self, symbols: Tensor, labels: Tensor, weights: Arrays
    ) -> tuple[Array, Array, Arrays]:
        """Run a forward and backward pass.

        Args:
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
            weights: weights of the form, then of the readout.

        Returns:
            Mean loss ``(R,)``, correct sequences ``(R, B)``, and gradients of the weights.
        """
        dtype, H = weights[-1].dtype, self.hidden_size
        out = outputs(labels.shape, dtype)
        gradients = tuple(np.zeros_like(weight) for weight in weights)
        inputs = self._inputs(symbols, labels, weights)
        steps, kept = symbols.shape[2], self.keeps_state_gradients
        R, B = labels.shape
        shape = R if kept else 0, 2, B, steps, H
        if self._path.shape != shape or self._path.dtype != dtype:
            self._path = np.empty(shape, dtype)
        assert self._way_back is not None  # allocated by _inputs
        flow = np.zeros((R if self.keeps_flow else 0, steps))
        self._forward_backward(
            *inputs, out, self._way_back, gradients[:-2], gradients[-2:], self._path, flow
        )
        self.flow = torch.from_numpy(np.sqrt(flow))
        if kept:
            self.states, self.state_gradients = torch.from_numpy(self._path).unbind(1)
        with np.errstate(over="ignore"):  # an infinite mean signals divergence
            mean = out[0].mean(1)
        return mean, out[1], gradients

    def _weights(self, params: Params) -> tuple[Tensor, ...]:
        return *self.form.weights(params), params["readout_weight"], params["readout_bias"]

    def _inputs(self, symbols: Tensor, labels: Tensor, weights: Arrays) -> tuple[Any, ...]:
        """Return the first arguments of a pass; allocate the working memory if needed."""
        *of_cell, W, b = weights
        if self._work is None or self._work[0].dtype != W.dtype:
            sizes = symbols.shape[2], self.rows, self.hidden_size, self.lags
            self._work, self._way_back = allocate(self.form, sizes, W.shape[1], W.dtype)
        sequences = symbols.contiguous().numpy(), labels.contiguous().numpy()
        return *sequences, tuple(of_cell), W, b, self._work


class Mean(torch.autograd.Function):
    """The mean loss as an autograd function; its forward pass also computes the gradient."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, loss: Any, symbols: Tensor, labels: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        mean, correct, ctx.gradients = loss.forward_backward(symbols, labels, as_arrays(weights))
        right = torch.from_numpy(correct)
        ctx.mark_non_differentiable(right)
        return torch.from_numpy(mean), right

    @staticmethod
    @once_differentiable
    def backward(  # noqa: D102
        ctx: Any, upstream: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        gradients = (torch.from_numpy(gradient) for gradient in ctx.gradients)
        scaled = (g * upstream.reshape(-1, *[1] * (g.dim() - 1)) for g in gradients)
        return None, None, None, *scaled


def allocate(
    form: ClosedForm, sizes: tuple[int, int, int, int], classes: int, dtype: Any
) -> tuple[tuple[Any, ...], tuple[Array, Arrays]]:
    """Allocate the working memory of a pass, see :func:`hw2exp.kernels.passes.forward_backward`.

    Args:
        form: the cell's closed form.
        sizes: T, rows of the input, H, K.
        classes: number of classes, C.
        dtype: dtype of the parameters.

    Returns:
        The arguments ``work`` and ``way_back``.
    """

    def arrays(shapes: list[tuple[int, ...]]) -> Arrays:
        return tuple(np.zeros((*shape, WIDTH), dtype) for shape in shapes)

    steps, rows, hidden_size, _ = sizes
    states = (steps + 1, hidden_size)
    x, h, p, delta = arrays([(steps, rows), states, (classes,), states])
    work = x, h, p, arrays(form.kept(*sizes)), form.ones
    return work, (delta, arrays(form.scratch(*sizes)))


def as_arrays(weights: tuple[Tensor, ...]) -> Arrays:
    """Convert weights to contiguous numpy arrays for the kernels.

    Args:
        weights: tensors on the CPU.
    """
    return tuple(weight.detach().contiguous().numpy() for weight in weights)


def outputs(shape: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """Allocate arrays for each sequence's loss, and for whether it is classified correctly.

    Args:
        shape: shape of the arrays, ``(R, B)``.
        dtype: dtype of the losses.
    """
    return np.empty(shape, dtype), np.empty(shape, bool)
