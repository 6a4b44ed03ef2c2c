"""The loss of a cell with a norm and its readout, in closed form."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.loss import Array, Arrays, Mean, as_arrays, outputs
from hw2exp.kernels.normed.forms import FORMS, KINDS
from hw2exp.kernels.normed.passes import make_passes
from hw2exp.models.axes import Params, State
from hw2exp.models.normalization import Norm, Terms


class NormedSequenceLoss:
    """The loss of sequences of symbols for a cell with a norm; counterpart of ``SequenceLoss``.

    Args:
        name: name of the form.
        kind: name of the norm.
        norm: the normalization.
        terms: the cell's terms.
        hidden_size: number of units, H.
        input_size: number of symbols, I; higher symbols are zero vectors.
        lags: number of lags, K, of an attention cell.

    Attributes:
        keeps_state_gradients: whether ``mean`` keeps h[t] and ∂ℓ/∂h[t].
        keeps_flow: whether ``mean`` keeps ‖∂ℓ/∂h[t]‖.
        states: h[t], t = 1…T, ``(R, B, T, H)``, of the last call of ``mean``, if kept.
        state_gradients: total derivatives of the mean loss, ∂ℓ/∂h[t], ``(R, B, T, H)``, if kept.
        flow: ‖∂ℓ/∂h[t]‖ over all sequences, t = 1…T, ``(R, T)`` in float64, if kept.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        norm: Norm,
        terms: Terms,
        hidden_size: int,
        input_size: int,
        lags: int = 1,
    ) -> None:
        self.form = FORMS[name]
        self.kind = KINDS[kind]
        self.norm: Any = norm
        self.terms = terms
        self.hidden_size = hidden_size
        self.rows = input_size
        self.lags = lags
        self.keeps_state_gradients = False
        self.keeps_flow = False
        self.flow: Tensor | None = None
        self.states: Tensor | None = None
        self.state_gradients: Tensor | None = None
        self._passes = make_passes(name, kind)
        self._work: dict[tuple[int, int, Any], tuple[Any, Any]] = {}

    @torch.no_grad()
    def each(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Compute the loss of each sequence, and whether it is classified correctly, ``(R, B)``.

        Args:
            params: the parameters of cell, norm and readout, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
            statistics: statistics for batch normalization, each ``(R, T, *features)``; None: those
                of the batch.

        Returns:
            The losses, the correct sequences, and the batch statistics if the norm used them.
        """
        weights = as_arrays(self._weights(params))
        out = outputs(labels.shape, weights[-1].dtype)
        by_batch = self.kind.together and statistics is None
        arrays = self._statistics_arrays(symbols, weights[-1].dtype, statistics)
        work, _ = self._memory(symbols, weights, by_batch)
        run = self._passes["evaluate" if by_batch or not self.kind.together else "test"]
        run(*self._inputs(symbols, labels, weights, arrays), work, out)
        seen = self._seen(arrays, symbols.shape[1]) if by_batch else {}
        return torch.from_numpy(out[0]), torch.from_numpy(out[1]), seen

    def mean(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the differentiable mean loss ``(R,)``, and the correct sequences ``(R, B)``.

        Args:
            params: the parameters of cell, norm and readout, each ``(R, ...)``.
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
        dtype, kept = weights[-1].dtype, self.keeps_state_gradients
        out = outputs(labels.shape, dtype)
        gradients = tuple(np.zeros_like(weight) for weight in weights)
        R, B, T = symbols.shape
        path = np.empty((R if kept else 0, 2, B, T, self.hidden_size), dtype)
        work, way_back = self._memory(symbols, weights, self.kind.together)
        statistics = self._statistics_arrays(symbols, dtype)
        inputs = self._inputs(symbols, labels, weights, statistics)
        flow = np.zeros((R if self.keeps_flow else 0, T))
        arrays = work, out, way_back, gradients[:-2], gradients[-2:], path, flow
        self._passes["forward_backward"](*inputs, *arrays)
        self.flow = torch.from_numpy(np.sqrt(flow))
        if kept:
            self.states, self.state_gradients = torch.from_numpy(path).unbind(1)
        with np.errstate(over="ignore"):  # an infinite mean signals divergence
            mean = out[0].mean(1)
        return mean, out[1], gradients

    def _weights(self, params: Params) -> tuple[Tensor, ...]:
        return *self.form.weights(params), params["readout_weight"], params["readout_bias"]

    def _inputs(
        self, symbols: Tensor, labels: Tensor, weights: Arrays, statistics: Arrays
    ) -> tuple[Any, ...]:
        *of_cell, W, b = weights
        eps = self.norm.eps.numpy().astype(W.dtype)
        sequences = symbols.contiguous().numpy(), labels.contiguous().numpy()
        return *sequences, tuple(of_cell), W, b, eps, statistics

    def _statistics_arrays(self, symbols: Tensor, dtype: Any, given: State | None = None) -> Arrays:
        """Return mean and variance of each term, ``(R, T, rows)``: given ones, or zeros to fill."""
        replicas, _, time_steps = symbols.shape
        if not self.kind.together:
            return tuple(np.zeros((replicas, 0, 0), dtype) for _ in self._statistics_names())
        if given is not None:
            flat = (given[name].flatten(2).contiguous() for name in self._statistics_names())
            return tuple(statistic.numpy().astype(dtype) for statistic in flat)
        rows = [math.prod(self.terms[term].shape) for term in self.form.terms for _ in "mv"]
        return tuple(np.zeros((replicas, time_steps, width), dtype) for width in rows)

    def _statistics_names(self) -> list[str]:
        return [f"{term}.{kind}" for term in self.form.terms for kind in ("mean", "variance")]

    def _seen(self, statistics: Arrays, count: int) -> State:
        """Return the statistics of a batch of ``count`` sequences by name, variances unbiased."""
        seen = {}
        for name, own in zip(self._statistics_names(), statistics, strict=True):
            term, kind = name.rsplit(".", 1)
            factor = count / (count - 1) if kind == "variance" else 1.0
            seen[name] = torch.from_numpy(own * factor).view(
                *own.shape[:2], *self.terms[term].shape
            )
        return seen

    def _memory(self, symbols: Tensor, weights: Arrays, together: bool) -> tuple[Any, Any]:
        """Return the working memory; allocate it at the first use of its shape."""
        _, B, T = symbols.shape
        G, (classes, H), dtype = (
            (-(-B // WIDTH) if together else 1),
            weights[-2].shape[1:],
            weights[-1].dtype,
        )
        key = G, T, dtype
        if key not in self._work:

            def arrays(shapes: Sequence[tuple[int, ...]]) -> Arrays:
                return tuple(np.zeros((*shape, WIDTH), dtype) for shape in shapes)

            sizes = T * G, G, H, self.lags
            x, h, p, mask, delta = arrays(
                [(T * G, self.rows), ((T + 1) * G, H), (classes,), (G,), ((T + 1) * G, H)]
            )
            work = x, h, p, mask, arrays(self.form.kept(*sizes))
            self._work[key] = work, (delta, arrays(self.form.scratch(*sizes)))
        return self._work[key]
