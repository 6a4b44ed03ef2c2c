"""The loss of a cell with its readout, in closed form, as one autograd function."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hw2exp.kernels.forms import form_of, pass_name
from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.normed.kinds import KINDS
from hw2exp.kernels.passes import make_passes
from hw2exp.models.axes import Layout, Params, Shape, State
from hw2exp.models.cell import Cell
from hw2exp.models.normalization import Norm
from hw2exp.tasks.temporal_order import CLASSES

Array = NDArray[Any]
Arrays = tuple[Array, ...]

CACHE_LINE = 64
"""Bytes in a line of the CPU's cache."""


class SequenceLoss:
    """The loss of sequences of symbols, with forward and backward passes in closed form on the CPU.

    Parameters come by name, in the order of :meth:`hw2exp.models.classifier.Classifier.initialize`:
    those of the cell, of the readout, and of the norm.

    Args:
        cell: the cell; it has a closed form.
        kind: name of the norm.
        norm: the normalization inside the cell.
        classes: the number of classes, C.

    Attributes:
        keeps_state_gradients: whether ``mean`` keeps h[t] and ∂ℓ/∂h[t], which the pass computes
            anyway.
        keeps_flow: whether ``mean`` keeps ‖∂ℓ/∂h[t]‖.
        states: h[t], t = 1…T, ``(R, B, T, H)``, of the last call of ``mean``, if kept.
        state_gradients: total derivatives of the mean loss, ∂ℓ/∂h[t], ``(R, B, T, H)``, if kept.
        flow: ‖∂ℓ/∂h[t]‖ over all sequences, t = 1…T, ``(R, T)`` in float64, if kept.
        passes: the compiled passes.
    """

    def __init__(self, cell: Cell, kind: str, norm: Norm, classes: int = len(CLASSES)) -> None:
        form = form_of(cell.options, kind)
        assert form is not None
        self.form, self.cell, self.norm, self.classes = form, cell, norm, classes
        self.passes = make_passes(form, pass_name(cell.options, kind), KINDS.get(kind))
        self.keeps_state_gradients = False
        self.keeps_flow = False
        self.flow: Tensor | None = None
        self.states: Tensor | None = None
        self.state_gradients: Tensor | None = None
        self._path: Array = np.empty(0)
        self._memory: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    @torch.no_grad()
    def each(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Compute the loss of each sequence, and whether it is classified correctly, ``(R, B)``.

        Args:
            params: the parameters of cell, readout and norm, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
            statistics: statistics for batch normalization, each ``(R, T, *features)``; None: those
                of the batch.

        Returns:
            The losses, the correct sequences, and the batch statistics if the norm used them.
        """
        rows = Layout.of(params).rows(params).numpy()
        sequences = _sequences(symbols, labels)
        given = self.norm.over_batch and statistics is not None
        memory = self.memory(symbols.shape, rows.dtype, statistics if given else None)
        out = _outputs(labels.shape, rows.dtype)
        self.passes["test" if given else "evaluate"](rows, *sequences, memory, out)
        by_batch = self.norm.over_batch and not given
        seen = self._seen(memory[1][1], symbols.shape[1]) if by_batch else {}
        return torch.from_numpy(out[0]), torch.from_numpy(out[1]), seen

    def mean(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the differentiable mean loss ``(R,)``, and the correct sequences ``(R, B)``.

        Args:
            params: the parameters of cell, readout and norm, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
        """
        layout = Layout.of(params)
        return Mean.apply(self, layout, symbols, labels, *params.values())  # type: ignore[no-any-return, no-untyped-call]

    def forward_backward(
        self, rows: Array, symbols: Tensor, labels: Tensor
    ) -> tuple[Array, Array, Array]:
        """Run a forward and backward pass.

        Args:
            rows: the parameters, ``(R, P)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.

        Returns:
            Mean loss ``(R,)``, correct sequences ``(R, B)``, and gradients ``(R, P)``.
        """
        R, B, T = symbols.shape
        kept = self.keeps_state_gradients
        shape = R if kept else 0, 2, B, T, self.cell.hidden_size
        if self._path.shape != shape or self._path.dtype != rows.dtype:
            self._path = np.empty(shape, rows.dtype)
        flow = np.zeros((R if self.keeps_flow else 0, T))
        out = _outputs(labels.shape, rows.dtype)
        mean, gradients = np.empty(R, rows.dtype), np.empty_like(rows)
        memory = self.memory(symbols.shape, rows.dtype)
        self.passes["learn"](
            rows, *_sequences(symbols, labels), memory, out, mean, gradients, self._path, flow
        )
        self.flow = torch.from_numpy(np.sqrt(flow))
        if kept:
            self.states, self.state_gradients = torch.from_numpy(self._path).unbind(1)
        return mean, out[1], gradients

    def memory(self, shape: Shape, dtype: Any, given: State | None = None) -> tuple[Any, ...]:
        """Return the working memory of a pass, see :func:`hw2exp.kernels.passes.learn`.

        Args:
            shape: shape of the symbols, ``(R, B, T)``.
            dtype: dtype of the parameters.
            given: statistics for batch normalization, see :meth:`each`.
        """
        R, B, T = shape
        G = -(-B // WIDTH) if self.norm.over_batch and given is None else 1
        key = R, G, T, dtype
        if key not in self._memory:
            self._memory[key] = self._allocate(*key)
        cell, work, way_back = self._memory[key]
        eps = getattr(self.norm, "eps", torch.zeros(R)).numpy().astype(dtype)
        return cell, (eps, self._statistics(R, T, dtype, given)), work, way_back

    def _allocate(self, R: int, G: int, T: int, dtype: Any) -> tuple[Any, ...]:
        def lanes(shapes: Sequence[Shape]) -> Arrays:
            return tuple(_aligned_zeros((*shape, WIDTH), dtype) for shape in shapes)

        form, H, C, N = self.form, self.cell.hidden_size, self.classes, T * G
        I = self.cell.input_size + form.ones
        sizes = N, G, I, H, getattr(self.cell.options, "lags", 1)

        def weights() -> tuple[Arrays, Array, Array]:
            of_cell = tuple(np.zeros((R, *shape), dtype) for shape in form.weights(*sizes))
            return of_cell, np.zeros((R, C, H), dtype), np.zeros((R, C), dtype)

        own = sum(math.prod(weight.shape) for weight in self.cell.weights().values())
        x, h, p, mask, delta = lanes([(N, I), (N + G, H), (C,), (G,), (N + G, H)])
        work = x, h, p, mask, lanes(form.kept(*sizes)), form.ones
        return (own, *weights()), work, (delta, lanes(form.scratch(*sizes)), *weights())

    def _statistics(self, R: int, T: int, dtype: Any, given: State | None) -> Arrays:
        """Return mean and variance of each term, ``(R, T, rows)``: given ones, or zeros to fill."""
        if given is not None:
            flat = (given[name].flatten(2).contiguous() for name in self._statistics_names())
            return tuple(statistic.numpy().astype(dtype) for statistic in flat)
        terms, length = self.cell.terms(), T if self.norm.over_batch else 0
        widths = [
            math.prod(terms[term].shape) for term in self.form.terms for _ in ("mean", "variance")
        ]
        return tuple(np.zeros((R, length, width), dtype) for width in widths or [0])

    def _statistics_names(self) -> list[str]:
        return [f"{term}.{kind}" for term in self.form.terms for kind in ("mean", "variance")]

    def _seen(self, statistics: Arrays, count: int) -> State:
        """Return the statistics of a batch of ``count`` sequences by name, variances unbiased."""
        seen, terms = {}, self.cell.terms()
        for name, own in zip(self._statistics_names(), statistics, strict=True):
            term, kind = name.rsplit(".", 1)
            factor = count / (count - 1) if kind == "variance" else 1.0
            seen[name] = torch.from_numpy(own * factor).view(*own.shape[:2], *terms[term].shape)
        return seen


class Mean(torch.autograd.Function):
    """The mean loss as an autograd function; its forward pass also computes the gradient."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, loss: Any, layout: Any, symbols: Tensor, labels: Tensor, *params: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = layout.flatten(params).numpy()
        mean, correct, ctx.gradients = loss.forward_backward(rows, symbols, labels)
        ctx.layout, right = layout, torch.from_numpy(correct)
        ctx.mark_non_differentiable(right)
        return torch.from_numpy(mean), right

    @staticmethod
    @once_differentiable
    def backward(  # noqa: D102
        ctx: Any, upstream: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        scaled = torch.from_numpy(ctx.gradients) * upstream[:, None]  # (R, P)
        return None, None, None, None, *ctx.layout.unflatten(scaled).values()


def _sequences(symbols: Tensor, labels: Tensor) -> tuple[Array, Array]:
    return symbols.contiguous().numpy(), labels.contiguous().numpy()


def _aligned_zeros(shape: Shape, dtype: Any) -> Array:
    """Allocate zeros at a multiple of 64 bytes: vectors that cross lines of the cache are slow."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    aligned: Array = memory[start : start + size].view(dtype).reshape(shape)
    return aligned


def _outputs(shape: Shape, dtype: Any) -> tuple[Array, Array]:
    """Allocate each sequence's loss, and whether it is classified correctly, ``(R, B)``."""
    return np.empty(shape, dtype), np.empty(shape, bool)
