"""Gradient flossing: a term that pushes Lyapunov exponents toward zero."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_regularizer
from hw2exp.config.knob import per_replica, shared
from hw2exp.config.registry import equations
from hw2exp.optim.regularizers.protocol import Regularizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_regularizer("flossing")
@dataclass(frozen=True)
class Flossing(Regularizer):
    """The mean square of the k largest Lyapunov exponents, over some sequences of a batch.

    The exponents are those that :mod:`hw2exp.diagnostics.lyapunov` measures: of the whole carry,
    as natural logarithms per time step, without the first steps. If the derivative of a step loses
    one of the k directions, the term is infinite, and the run diverges. Unlike in the paper, the
    term acts at every training step.

    Args:
        weight: factor of the term, ``(R,)``.
        exponents: the number of exponents, k.
        sequences: the number of sequences of a batch that are used, the first ones.

    Source: Engelken 2023, "Gradient flossing: improving gradient descent through dynamic control of
    Jacobians", arXiv:2312.17306, §3; the QR decompositions are differentiated as torch does.
    """

    weight: Annotated[Tensor, per_replica("factor of the mean square of the exponents", ge=0)]
    exponents: Annotated[int, shared("how many exponents, the largest ones", ge=1)]
    sequences: Annotated[int, shared("sequences of a batch that are looked at", ge=1)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problems of too many exponents, and of sequences that a norm ties together."""
        problems = []
        if knobs.exponents > (units := config.model.hidden_size):
            most = f"must be <= model.hidden_size={units}"
            problems.append(f"regularizer.exponents={knobs.exponents}: {most}")
        if equations("norm", norm := config.norm.name).over_batch:
            why = f"a sequence has no exponents of its own with norm={norm}"
            problems.append(f"regularizer=flossing: {why}")
        return problems

    def value(self, seen: Any) -> Tensor:
        """Return the term, ``(R,)``."""
        exponents = self.of(seen)  # (R, B, k)
        exponents = torch.where(exponents.isnan(), 0, exponents)  # a single symbol has none
        term = exponents.square().flatten(1).mean(1)
        return (self.weight * term).to(seen.logits.dtype)

    def of(self, seen: Any) -> Tensor:
        """Return the exponents of each sequence, ``(R, B, k)`` in float64."""
        from hw2exp.models import stretching  # lazily: it imports torch

        few = slice(0, self.sequences)
        inputs, carries = (
            [tuple(part[:, few] for part in step) for step in steps]
            for steps in (seen.unrolled.inputs, seen.unrolled.carries)
        )

        def move(t: int, directions: Tensor) -> Tensor:
            now = directions.to(seen.logits.dtype)
            own = inputs[t], carries[t], seen.norm.at(t), now
            return stretching.moved(seen.cell, seen.prepared, *own, create_graph=True)

        size = stretching.numbers(carries[-1]).shape[-1]
        shown = seen.symbols[:, few].mT != seen.cell.input_size  # (R, T, B)
        start = stretching.orthonormal_directions(size, self.exponents)
        return stretching.mean_growth(move, start, stretching.counted_steps(shown))
