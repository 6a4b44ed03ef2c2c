"""Recurrent batch normalization: statistics over the batch, apart for every time step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hw2exp.axes import Params, State, columns
from hw2exp.stabilizers.norm.protocol import Gain, NormPass, Terms, gains_of, rescale


@dataclass(frozen=True)
class BatchNorm:
    """Recurrent batch normalization (Cooijmans et al. 2016, eq. 6-8).

    Every time step has statistics of its own: in training those of the batch, in testing the
    running ones. As in torch, the running variance is the unbiased one.

    Args:
        gamma: the gain at the start, ``(R,)``; the paper's is 0.1.
        momentum: weight of a new batch in the running statistics, ``(R,)``.
        eps: added to the variance, ``(R,)``.
    """

    gamma: Tensor
    momentum: Tensor
    eps: Tensor

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """One gain a feature of every term, shared by the time steps."""
        return gains_of(terms, self.gamma)

    def buffers(self, terms: Terms, time_steps: int) -> State:
        """Mean 0 and variance 1 for every time step and feature."""
        replicas = len(self.gamma)
        return {
            f"{name}.{statistic}": torch.full(
                (replicas, time_steps, *term.shape), value, device=self.gamma.device
            )
            for name, term in terms.items()
            for statistic, value in (("mean", 0.0), ("variance", 1.0))
        }

    def update(self, buffers: State, batch: State) -> State:
        """The running statistics after a batch.

        Args:
            buffers: those before.
            batch: its own, shaped alike; the variance the unbiased one.
        """
        return {
            name: running + columns(self.momentum, running) * (batch[name] - running)
            for name, running in buffers.items()
        }

    def forward(self, params: Params, buffers: State, terms: Terms, training: bool) -> NormPass:
        """Begin a pass."""
        kind = _TrainingPass if training else _TestingPass
        return kind(self, params, buffers, terms)


@dataclass
class _BatchPass(NormPass):
    norm: BatchNorm
    params: Params
    buffers: State
    terms: Terms
    t: int | None = None  # None while all time steps are processed at once

    def at(self, t: int) -> NormPass:
        self.t = t
        return self

    def _apply(self, term: str, value: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scaled = (value - mean) * (variance + columns(self.norm.eps, value)).rsqrt()
        return rescale(self.params, term, scaled, len(self.terms[term].shape))


@dataclass
class _TrainingPass(_BatchPass):
    seen: dict[str, list[Tensor]] = field(default_factory=dict)

    def __call__(self, term: str, value: Tensor) -> Tensor:
        batch_axis = -1 - len(self.terms[term].shape)
        variance, mean = torch.var_mean(value, batch_axis, correction=0, keepdim=True)
        size = value.shape[batch_axis]
        self._see(f"{term}.mean", mean, batch_axis)
        self._see(f"{term}.variance", variance * (size / (size - 1)), batch_axis)
        return self._apply(term, value, mean, variance)

    def _see(self, name: str, statistic: Tensor, batch_axis: int) -> None:
        whole = self.t is None  # (R, T, 1, *features); else (R, 1, *features), which will do
        seen = statistic.detach().squeeze(batch_axis) if whole else statistic.detach()
        self.seen.setdefault(name, []).append(seen)

    def statistics(self) -> State:
        batch = {name: torch.cat(seen, dim=1) for name, seen in self.seen.items()}
        return self.norm.update(self.buffers, batch)  # each (R, T, *features)


@dataclass
class _TestingPass(_BatchPass):
    def __call__(self, term: str, value: Tensor) -> Tensor:
        mean, variance = self.buffers[f"{term}.mean"], self.buffers[f"{term}.variance"]
        if self.t is None:
            batch_axis = -1 - len(self.terms[term].shape)
            mean, variance = mean.unsqueeze(batch_axis), variance.unsqueeze(batch_axis)
        else:
            now = slice(self.t, self.t + 1)
            mean, variance = mean[:, now], variance[:, now]  # (R, 1, *features)
        return self._apply(term, value, mean, variance)
