"""Define the interface of a metric, which measures training steps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hw2exp.config.doors import register_metric
from hw2exp.models.axes import Params
from hw2exp.system.lazy_torch import Tensor

if TYPE_CHECKING:
    from hw2exp.fleet.measurements import StepTrace
    from hw2exp.models.classifier import Classifier


@dataclass(frozen=True)
class Step:
    """The tensors of a training step, by name.

    Args:
        params: the parameters before the step by name, each ``(R, ...)``.
        grads: the gradient before clipping by name, each ``(R, ...)``.
        after: the parameters after the step by name, each ``(R, ...)``.
        symbols: symbols of the batch, ``(R, B, T)``.
        labels: labels of the batch, ``(R, B)``.
        model: the model, a :class:`hw2exp.models.classifier.Classifier`.
    """

    params: Params
    grads: Params
    after: Params
    symbols: Tensor
    labels: Tensor
    model: Any

    @classmethod
    def of(cls, trace: "StepTrace", model: "Classifier") -> "Step":
        """Return copies of a step's tensors, so that a metric can change no training.

        Args:
            trace: the step's tensors, with parameters in rows.
            model: the model of the replicas.
        """
        by_name = model.layout().unflatten
        return cls(
            by_name(trace.before.params.clone()),
            by_name(trace.grads.clone()),
            by_name(trace.after.params.clone()),
            trace.symbols.clone(),
            trace.labels.clone(),
            model,
        )


@register_metric("none")
@dataclass(frozen=True)
class Metric:
    """No metric; base class of the metrics.

    Args:
        every: steps between two measurements; the first step is measured too.
    """

    every: int

    def measure(self, step: Step) -> dict[str, Tensor]:
        """Measure a step.

        Args:
            step: the tensors of the step.

        Returns:
            The columns by name, each ``(R,)``: a number for each replica.
        """
        return {}
