"""Layer normalization of an attention cell's queries and keys alone."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config import groups
from hw2exp.config.doors import register_norm
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, State
from hw2exp.models.normalization.layer import standardize
from hw2exp.models.normalization.protocol import Gain, GainPass, Norm, NormPass, Terms, over
from hw2exp.system.lazy_torch import Tensor, torch


@register_norm("qk")
@dataclass(frozen=True)
class QKNorm(Norm):
    """Layer normalization of queries and keys alone (Dehghani et al. 2023, "ViT-22B", §2).

    The paper's factor 1/√H before the softargmax enters as the initial gains, H^(-1/4) each.

    Args:
        eps: added to the variance, ``(R,)``.
    """

    eps: Annotated[Tensor, per_replica("added to the variance", gt=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a model without queries and keys."""
        return groups.lacks_attention("norm=qk", config)

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return a gain for each feature of every query and key."""
        return {
            f"gamma_{name}": Gain(
                (2, *term.shape[1:]), torch.full_like(self.eps, term.shape[-1] ** -0.25)
            )
            for name, term in terms.items()
            if term.attention
        }

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        return _QKPass(self.eps, params, terms)


class _QKPass(GainPass):
    def __call__(self, term: str, value: Tensor) -> Tensor:
        if not self.terms[term].attention:
            return value
        axes = self.axes(term)
        queries_keys, values = torch.tensor_split(value, (2,), dim=-axes)
        gamma = over(self.params[f"gamma_{term}"], queries_keys, axes)
        return torch.cat((gamma * standardize(queries_keys, self.eps), values), dim=-axes)
