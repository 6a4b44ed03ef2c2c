"""The loss of sequences under a cell with a norm and its readout, in closed form."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw2exp.axes import Params, State
from hw2exp.closed_form.lanes import WIDTH
from hw2exp.closed_form.loss import Array, Arrays, Mean, as_arrays, outputs
from hw2exp.closed_form.normed.forms import FORMS, KINDS
from hw2exp.closed_form.normed.passes import make_passes
from hw2exp.stabilizers.norm import Norm, Terms
from hw2exp.stabilizers.norm.batch import BatchNorm


class NormedSequenceLoss:
    """Runs a cell with a norm over sequences of symbols, as ``SequenceLoss`` one without.

    Args:
        name: of the form.
        kind: the norm's name.
        norm: the normalization.
        terms: the cell's.
        hidden_size: H.
        input_size: I, the number of symbols; higher symbols are zero vectors.
        lags: K, of a cell that has lags.

    Attributes:
        keeps_state_gradients: whether ``mean`` keeps h[t] and ∂ℓ/∂h[t].
        keeps_flow: whether ``mean`` keeps how large ∂ℓ/∂h[t] is.
        states: h[t], t = 1…T, ``(R, B, T, H)``, of the last call of ``mean``, if to be kept.
        state_gradients: total derivatives of the mean loss by them, of the same shape.
        flow: ‖∂ℓ/∂h[t]‖ over all sequences, t = 1…T, ``(R, T)`` in float64, if to be kept.
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
        self._statistics: Arrays = ()
        self._work: dict[tuple[int, int, Any], tuple[Any, Any]] = {}

    @torch.no_grad()
    def each(
        self, params: Params, buffers: State, symbols: Tensor, labels: Tensor, training: bool
    ) -> tuple[Tensor, Tensor, State]:
        """Return each sequence's loss and whether it is classified right, ``(R, B)``.

        Args:
            params: the parameters of cell, norm and readout, each ``(R, ...)``.
            buffers: the running statistics; given back as they are after the pass.
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.
            training: go by the batch's statistics instead of the running ones.
        """
        weights = as_arrays(self._weights(params))
        out = outputs(labels.shape, weights[-1].dtype)
        statistics = self._given(buffers, symbols, weights[-1].dtype, empty=training)
        together = self.kind.together and training
        work, _ = self._memory(symbols, weights, together)
        run = self._passes["judge" if training else "test"]
        run(*self._inputs(symbols, labels, weights, statistics), work, out)
        after = self._after(buffers, statistics, symbols.shape[1]) if together else buffers
        return torch.from_numpy(out[0]), torch.from_numpy(out[1]), after

    def mean(
        self, params: Params, buffers: State, symbols: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, State]:
        """Return the mean loss ``(R,)``, differentiable, and what was classified right ``(R, B)``.

        Args:
            params: the parameters of cell, norm and readout, each ``(R, ...)``.
            buffers: the running statistics; given back as they are after the pass.
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.
        """
        weights = self._weights(params)
        dtype = as_arrays(weights[-1:])[0].dtype
        self._statistics = self._given(buffers, symbols, dtype, empty=True)
        mean, right = Mean.apply(self, symbols, labels, *weights)  # type: ignore[no-untyped-call]
        if self.kind.together:
            buffers = self._after(buffers, self._statistics, symbols.shape[1])
        return mean, right, buffers

    def learn(
        self, symbols: Tensor, labels: Tensor, weights: Arrays
    ) -> tuple[Array, Array, Arrays]:
        """Make a pass forward and back.

        Args:
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.
            weights: of the form, then those of the readout.

        Returns:
            Mean loss ``(R,)``, what was classified right ``(R, B)``, gradients of the weights.
        """
        dtype, kept = weights[-1].dtype, self.keeps_state_gradients
        out = outputs(labels.shape, dtype)
        gradients = tuple(np.zeros_like(weight) for weight in weights)
        R, B, T = symbols.shape
        path = np.empty((R if kept else 0, 2, B, T, self.hidden_size), dtype)
        work, way_back = self._memory(symbols, weights, self.kind.together)
        inputs = self._inputs(symbols, labels, weights, self._statistics)
        flow = np.zeros((R if self.keeps_flow else 0, T))
        arrays = work, out, way_back, gradients[:-2], gradients[-2:], path, flow
        self._passes["learn"](*inputs, *arrays)
        self.flow = torch.from_numpy(np.sqrt(flow))
        if kept:
            self.states, self.state_gradients = torch.from_numpy(path).unbind(1)
        with np.errstate(over="ignore"):  # an infinite mean is how divergence is seen
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

    def _given(self, buffers: State, symbols: Tensor, dtype: Any, empty: bool) -> Arrays:
        """Mean and variance of each term, ``(R, T, rows)``, to be read or to be filled."""
        if not self.kind.together:
            return tuple(
                np.zeros((len(symbols), 0, 0), dtype) for _ in range(2 * len(self.form.terms))
            )
        names = [f"{term}.{kind}" for term in self.form.terms for kind in ("mean", "variance")]
        running = (buffers[name].flatten(2).contiguous().numpy().astype(dtype) for name in names)
        return tuple(np.zeros_like(each) if empty else each for each in running)

    def _after(self, buffers: State, statistics: Arrays, count: int) -> State:
        """The running statistics after a batch of so many sequences."""
        batch = {}
        for place, term in enumerate(self.form.terms):
            for offset, (kind, factor) in enumerate(
                (("mean", 1.0), ("variance", count / (count - 1)))
            ):
                running = buffers[f"{term}.{kind}"]
                own = torch.from_numpy(statistics[2 * place + offset])
                batch[f"{term}.{kind}"] = (own * factor).to(running.dtype).view(running.shape)
        norm: BatchNorm = self.norm
        return norm.update(buffers, batch)

    def _memory(self, symbols: Tensor, weights: Arrays, together: bool) -> tuple[Any, Any]:
        """Working memory, made when it is first needed."""
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
