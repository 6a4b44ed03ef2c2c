"""Recurrent batch normalization: statistics over the batch, separate for every time step."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from hw2exp.config.doors import register_norm
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import Params, State, columns
from hw2exp.models.normalization.protocol import (
    Gain,
    GainPass,
    Norm,
    NormPass,
    Terms,
    gains_of,
    rescale,
)
from hw2exp.system.lazy_torch import Tensor, torch


@register_norm("batch")
@dataclass(frozen=True)
class BatchNorm(Norm):
    """Recurrent batch normalization (Cooijmans et al. 2016, eq. 6-8).

    Every time step has its own statistics: in training those of the batch, in a test given ones.
    A feature that is equal in all sequences of a batch carries no information: it becomes 0, with
    zero gradient. By the formula alone, its gradient would be rounding noise divided by √ε.

    Args:
        gamma: initial gain, ``(R,)``; 0.1 in the paper.
        eps: added to the variance, ``(R,)``.
        population_sequences: the least number of training sequences for the statistics of a test.
    """

    over_batch = True

    gamma: Annotated[Tensor, per_replica("gain at the start", gt=0)]
    eps: Annotated[Tensor, per_replica("added to the variance", gt=0)]
    population_sequences: Annotated[
        int, shared("training sequences for a test's statistics, at least", ge=2, le=65536)
    ] = field(default=Norm.population_sequences, kw_only=True)  # after the fields of a subclass

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a batch of a single sequence, which has no statistics."""
        if config.batch_size >= 2:
            return []
        return ["batch_size=1: norm=batch needs at least 2 sequences"]

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return a gain for each feature of every term, shared by the time steps."""
        return gains_of(terms, self.gamma)

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        if statistics is None:
            return _BatchPass(self.eps, params, terms)
        return _GivenPass(self.eps, params, terms, statistics)


@dataclass
class _Pass(GainPass):
    t: int | None = field(default=None, kw_only=True)  # None: all time steps at once

    def at(self, t: int) -> NormPass:
        self.t = t
        return self

    def _apply(self, term: str, centered: Tensor, variance: Tensor) -> Tensor:
        """Scale a centered term; features with zero variance become 0."""
        inverse = (variance + columns(self.eps, variance)).rsqrt()
        scaled = torch.where(variance == 0, 0, centered * inverse)  # so its gradient is 0 too
        return rescale(self.params, term, scaled, self.axes(term))


@dataclass
class _BatchPass(_Pass):
    seen: dict[str, list[Tensor]] = field(default_factory=dict)

    def __call__(self, term: str, value: Tensor) -> Tensor:
        axis = -1 - self.axes(term)  # of the batch
        first = value.detach().narrow(axis, 0, 1)
        above = value - first  # exactly 0, as is its variance, if all sequences agree
        variance, mean = torch.var_mean(above, axis, correction=0, keepdim=True)
        size = value.shape[axis]
        self._see(f"{term}.mean", first + mean, axis)
        self._see(f"{term}.variance", variance * (size / (size - 1)), axis)
        return self._apply(term, above - mean, variance)

    def _see(self, name: str, statistic: Tensor, batch_axis: int) -> None:
        whole = self.t is None  # (R, T, 1, *features); else (R, 1, *features)
        seen = statistic.detach().squeeze(batch_axis) if whole else statistic.detach()
        self.seen.setdefault(name, []).append(seen)

    def statistics(self) -> State:
        return {name: torch.cat(seen, dim=1) for name, seen in self.seen.items()}


@dataclass
class _GivenPass(_Pass):
    given: State

    def __call__(self, term: str, value: Tensor) -> Tensor:
        mean, variance = self.given[f"{term}.mean"], self.given[f"{term}.variance"]
        if self.t is None:
            axis = -1 - self.axes(term)
            mean, variance = mean.unsqueeze(axis), variance.unsqueeze(axis)
        else:
            now = slice(self.t, self.t + 1)
            mean, variance = mean[:, now], variance[:, now]  # (R, 1, *features)
        return self._apply(term, value - mean, variance)
