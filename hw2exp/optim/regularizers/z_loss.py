"""z-loss: a term that keeps the logits near zero."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_regularizer
from hw2exp.config.knob import per_replica
from hw2exp.optim.regularizers.protocol import Regularizer
from hw2exp.system.lazy_torch import Tensor


@register_regularizer("z_loss")
@dataclass(frozen=True)
class ZLoss(Regularizer):
    """The term weight · log² Z, with Z = Σ exp(logit) over the classes; the mean over a batch.

    Args:
        weight: factor of the term, ``(R,)``; 1e-4 in the paper.

    Source: Chowdhery et al. 2022, "PaLM: scaling language modeling with pathways",
    arXiv:2204.02311, §5.
    """

    weight: Annotated[Tensor, per_replica("factor of log² Z", ge=0)]

    def value(self, seen: Any) -> Tensor:
        """Return the term, ``(R,)``."""
        log_z: Tensor = seen.logits.logsumexp(-1)  # (R, B)
        return self.weight.to(log_z.dtype) * log_z.square().mean(1)
