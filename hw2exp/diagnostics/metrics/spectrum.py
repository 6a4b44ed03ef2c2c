"""The spectrum of the recurrent weights."""

from dataclasses import dataclass

from hw2exp.config.doors import register_metric
from hw2exp.diagnostics.metrics.protocol import Metric, Step
from hw2exp.system.lazy_torch import Tensor, torch


@register_metric("spectrum")
@dataclass(frozen=True)
class Spectrum(Metric):
    """The size of each recurrent matrix, by its eigenvalues and by its singular values.

    A linear recurrence h[t] = W h[t-1] explodes only if the spectral radius of W is above 1
    (Pascanu, Mikolov & Bengio 2013, §2.1). Matrices that are stacked, as those of gates, are
    measured one by one.
    """

    def measure(self, step: Step) -> dict[str, Tensor]:
        """Measure the spectral radius and the spectral norm of each recurrent matrix."""
        found = {}
        for name, weight in step.model.weights().items():
            if weight.role != "recurrent":
                continue
            blocks = step.params[name].double().chunk(weight.blocks, 1)  # each (R, H, H)
            for place, block in enumerate(blocks):
                own = name if weight.blocks == 1 else f"{name}_{place}"
                found[f"radius_{own}"] = torch.linalg.eigvals(block).abs().amax(-1)
                found[f"norm_{own}"] = torch.linalg.matrix_norm(block, 2)
        return found
