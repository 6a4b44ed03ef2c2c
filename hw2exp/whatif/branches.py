"""Train branches of a run: from one state of it, each with an intervention, as fleets."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hw2exp.config.knob import shape_key
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.evaluation import evaluate
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.fleet.state import FleetState
from hw2exp.models.axes import means
from hw2exp.runs.start_state import StartState
from hw2exp.whatif.intervention import Intervention
from hw2exp.whatif.update_clip import ClippedUpdates

OWN_STATE = ("optimizer", "clip", "schedule")
"""The parts of a state that belong to a choice of the config."""


class CurveRecorder:
    """An observer that keeps the training loss and the gradient norm of each step.

    Args:
        fleet: the runs.
        first: the first step.
        last: the last step.

    Attributes:
        losses: the training losses, NaN for steps that were not made, ``(n, R)``.
        grad_norms: the gradient norms before clipping, likewise.
    """

    def __init__(self, fleet: Fleet, first: int, last: int) -> None:
        self.fleet = fleet
        self.first = first
        self.losses, self.grad_norms = np.full((2, last - first + 1, len(fleet.members)), np.nan)

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Keep the losses and gradient norms of a block of steps."""
        rows = slice(steps.start - self.first, steps.stop - self.first)
        self.losses[rows, self.fleet.members] = metrics.loss.double().numpy()
        self.grad_norms[rows, self.fleet.members] = metrics.grad_norm_raw.double().numpy()


@dataclass(frozen=True)
class MadeAgain:
    """A run made again.

    Args:
        start: the state that it began with.
        states: the state before each wanted step, with R = 1.
        losses: the training loss of each step from 1, NaN before ``start`` and after a divergence,
            ``(n,)``.
        grad_norms: the gradient norms before clipping, likewise.
    """

    start: StartState
    states: dict[int, FleetState]
    losses: Floats
    grad_norms: Floats


def make_again(
    config: TrainConfig, start: StartState, steps: Collection[int], last: int
) -> MadeAgain:
    """Train a run again from one of its states, and keep its state before some steps.

    Args:
        config: the run's config.
        start: the state to begin with.
        steps: the steps whose states are wanted.
        last: the last step to make.
    """
    fleet = Fleet([_endless(config)])
    fleet.state = start.state
    curves, states, first = CurveRecorder(fleet, 1, last), {}, start.made + 1
    for step in sorted(steps):
        train(fleet, [curves], first=first, last=step - 1)
        states[step], first = fleet.state, step
    train(fleet, [curves], first=first, last=last)
    return MadeAgain(start, states, curves.losses[:, 0], curves.grad_norms[:, 0])


@dataclass(frozen=True)
class Branches:
    """The k branches trained from one state of a run.

    Args:
        first: the step before which they branch off.
        losses: the training loss of each step from ``first``, NaN after a divergence, ``(n, k)``.
        diverged_at: the step at which each branch diverged, or 0, ``(k,)``.
        test_loss: the loss of a test pass after the last step; NaN if diverged, ``(k,)``.
        test_accuracy: the accuracy of that test pass, ``(k,)``.
    """

    first: int
    losses: Floats
    diverged_at: Floats
    test_loss: Floats
    test_accuracy: Floats


def follow(
    config: TrainConfig,
    state: FleetState,
    interventions: Sequence[Intervention],
    steps: range,
    start: int,
) -> Branches:
    """Train one branch for each intervention; branches with the same program form a fleet.

    Args:
        config: the run's config.
        state: the run's state before the first of the steps, with R = 1.
        interventions: the interventions.
        steps: the steps to make.
        start: the spike's first step.
    """
    fleets: dict[str, list[int]] = {}
    for place, each in enumerate(interventions):
        key = json.dumps([each.skip, each.update, shape_key(each.config)], sort_keys=True)
        fleets.setdefault(key, []).append(place)
    losses = np.full((len(steps), len(interventions)), np.nan)
    ends = np.full((3, len(interventions)), np.nan)  # diverged_at, test loss, test accuracy
    for places in fleets.values():
        own = [interventions[place] for place in places]
        losses[:, places], ends[:, places] = _train(config, state, own, steps, start)
    return Branches(steps[0], losses, *ends)


def _train(
    config: TrainConfig,
    state: FleetState,
    interventions: Sequence[Intervention],
    steps: range,
    start: int,
) -> tuple[Floats, Floats]:
    """Train one fleet of branches; return its losses and its rows of ``ends``."""
    configs, first_of = [_endless(each.config) for each in interventions], interventions[0]
    fleet = (
        Fleet(configs, skipped=first_of.skip)
        if first_of.update is None
        else ClippedUpdates(configs, first_of.update, first_of.skip)
    )
    fleet.state = _branched(config, state, interventions, fleet)
    curves, first = CurveRecorder(fleet, steps[0], steps[-1]), steps[0]
    for last in [*_seams(interventions, steps, start), steps[-1]]:
        members = [interventions[member] for member in fleet.members.tolist()]
        fleet.enlist([_endless(each.config_at(first, start, config)) for each in members])
        train(fleet, [curves], first=first, last=last)
        if not fleet.state.active.any():
            break
        first = last + 1
    ends = np.full((3, len(interventions)), np.nan)
    ends[0] = fleet.outcome.diverged_at.numpy()
    if (active := fleet.state.active.numpy()).any():
        same_data = [each.model_copy(update={"seed": config.seed}) for each in fleet.configs]
        fleet.enlist(same_data)
        test_losses, accuracy = evaluate(fleet, steps[-1])
        ends[1:, fleet.members[active]] = torch.stack([means(test_losses), accuracy])[:, active]
    return curves.losses, ends


def _endless(config: TrainConfig) -> TrainConfig:
    """Return a config that trains on after its task is solved, so that branches end together."""
    return config.model_copy(update={"stop_when_solved": False})


def _seams(interventions: Sequence[Intervention], steps: range, start: int) -> list[int]:
    """Return the last step of each stretch with the same configs, except for the last stretch."""
    spans = [each.around for each in interventions if each.around is not None]
    lasts = {start - span - 1 for span in spans} | {start + span for span in spans}
    return sorted(last for last in lasts if steps[0] <= last < steps[-1])


def _branched(
    config: TrainConfig, state: FleetState, interventions: Sequence[Intervention], fleet: Fleet
) -> FleetState:
    """Return the state of a fleet of branches: the run's state, changed by the interventions.

    If an intervention exchanges a choice for another, that choice's state begins anew.
    """
    rows, new = state.take(torch.zeros(len(interventions), dtype=torch.int64)), fleet.state
    for part in OWN_STATE:
        same = getattr(fleet.config, part).name == getattr(config, part).name
        if not same or getattr(rows, part).keys() != getattr(new, part).keys():
            rows = replace(rows, **{part: getattr(new, part)})
    tensors = {name: value.clone() for name, value in rows.tensors().items()}
    for row, each in enumerate(interventions):
        for key, factor in each.factors.items():
            for values in _parts(key, row, tensors, fleet):
                values *= factor
        noise = np.random.default_rng([config.seed, int(state.step)])
        for key, size in each.noises.items():
            for values in _parts(key, row, tensors, fleet):
                values *= 1 + size * torch.from_numpy(noise.standard_normal(values.shape))
    return rows.with_tensors(tensors)


def _parts(key: str, row: int, tensors: dict[str, Tensor], fleet: Fleet) -> list[Tensor]:
    """Return views of a branch's tensors that have a name; none if they began anew."""
    if "." in key or key == "params":
        return [tensors[key][row]] if key in tensors else []
    named = fleet.layout.unflatten(tensors["params"])
    return [value[row] for name, value in named.items() if f"{name}_".startswith(f"{key}_")]
