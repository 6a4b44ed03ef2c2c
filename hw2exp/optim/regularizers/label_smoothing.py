"""Label smoothing: a cross-entropy with labels that leave something to every class."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_regularizer
from hw2exp.config.knob import per_replica
from hw2exp.optim.regularizers.protocol import Regularizer
from hw2exp.system.lazy_torch import Tensor


@register_regularizer("label_smoothing")
@dataclass(frozen=True)
class LabelSmoothing(Regularizer):
    """The term by which labels (1 - ε) δ + ε / C change the cross-entropy; the mean over a batch.

    H(q', p) = (1 - ε) H(q, p) + ε H(u, p), with u uniform over the C classes, is the loss plus
    ε (H(u, p) - H(q, p)).

    Args:
        weight: ε, ``(R,)``; 0.1 in the paper.

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision",
    arXiv:1512.00567, §7.
    """

    weight: Annotated[Tensor, per_replica("share of a label that goes to all classes", ge=0, le=1)]

    def value(self, seen: Any) -> Tensor:
        """Return the term, ``(R,)``."""
        log_p: Tensor = seen.logits.log_softmax(-1)  # (R, B, C)
        own = log_p.gather(-1, seen.labels[..., None].long()).squeeze(-1)  # (R, B)
        more = (own - log_p.mean(-1)).mean(1)
        return self.weight.to(more.dtype) * more
