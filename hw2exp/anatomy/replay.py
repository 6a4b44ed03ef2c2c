"""Replay steps of a run, bit for bit, and keep the intermediate results of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics, StepTrace
from hw2exp.fleet.state import FleetState
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.models.axes import Layout


@dataclass
class Replayed:
    """Replayed steps of a fleet of one.

    Args:
        first: the first step to keep.
        last: the last step.
        layout: the layout of the parameters in one row.
        steps: the kept steps.
        traces: the intermediate results of each kept step.
        metrics: the measurements of each kept step.
        losses: the training loss of every replayed step, kept or not, by step.
    """

    first: int
    last: int
    layout: Layout
    steps: list[int] = field(default_factory=list)
    traces: list[StepTrace] = field(default_factory=list)
    metrics: list[StepMetrics] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)

    def wants_flow(self, step: int) -> bool:
        """Return whether the step is kept, and so needs its gradient flow."""
        return self.first <= step

    def inspect(self, step: int, trace: StepTrace) -> None:
        """Keep a step's intermediate results, from ``first`` on."""
        if self.first <= step:
            self.steps.append(step)
            self.traces.append(trace)

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Keep a step's loss, and its measurements from ``first`` on."""
        (step,) = steps  # a block of one, because each step is inspected
        self.losses[step] = float(metrics.loss)
        if self.first <= step:
            self.metrics.append(metrics[0])


def replay(
    config: TrainConfig,
    begin: int,
    first: int,
    last: int,
    state: Mapping[str, NDArray[Any]] | None = None,
) -> Replayed:
    """Replay steps of a run.

    Args:
        config: the run's config.
        begin: the first step to replay.
        first: the first step to keep.
        last: the last step to replay.
        state: the whole state before ``begin``, without the replica axis; by default the state of
            a new run.

    Raises:
        ValueError: the state doesn't fit the config.
    """
    with torch_as_known():
        fleet = Fleet([config])
        if state is not None:
            fleet.state = _of(state, fleet.state)
        seen = Replayed(first, last, fleet.layout)
        train(fleet, [seen], after=lambda step: step >= last, first=begin, inspector=seen)
    return seen


def _of(state: Mapping[str, NDArray[Any]], template: FleetState) -> FleetState:
    own = template.tensors()
    if own.keys() != state.keys():
        raise ValueError(f"has other tensors: {sorted(own.keys() ^ state.keys())}")
    tensors = {name: torch.from_numpy(value)[None] for name, value in state.items()}
    for name, value in tensors.items():
        if value.shape != own[name].shape or value.dtype != own[name].dtype:
            wanted = f"{own[name].dtype} {tuple(own[name].shape[1:])}"
            raise ValueError(f"{name} is {value.dtype} {tuple(value.shape[1:])}, not {wanted}")
    return template.with_tensors(tensors)
