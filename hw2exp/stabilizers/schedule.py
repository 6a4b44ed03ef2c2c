"""Learning-rate schedules: a factor on the learning rate, for every replica its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.axes import State
from hw2exp.config.groups import Schedule as ScheduleOptions
from hw2exp.hyperparameters import stack


class Schedule(Protocol):
    """Says by which factor the learning rate is multiplied."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Make the state before the first step."""

    def factor(self, updates: int, state: State) -> Tensor:
        """Return the factor for the next update, ``(R,)`` in float64.

        Args:
            updates: how many updates were made before it.
            state: from ``init`` or the last ``observe``.
        """

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Take note of a test pass.

        Args:
            test_loss: ``(R,)``.
            state: from ``init`` or the last ``observe``.
        """


@dataclass(frozen=True)
class Constant:
    """The learning rate stays as it is; and the base of schedules that know the step alone.

    Args:
        steps: training steps of the whole run.
    """

    steps: int

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """A one for every replica."""
        return {"one": torch.ones(replicas, dtype=torch.float64, device=device)}

    def factor(self, updates: int, state: State) -> Tensor:
        """Always 1."""
        return state["one"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Change nothing."""
        return state


@dataclass(frozen=True)
class StepDecay(Constant):
    """Multiply by γ every so many steps, as ``torch.optim.lr_scheduler.StepLR``.

    Args:
        every: steps between two falls, ``(R,)``.
        gamma: factor of one fall, ``(R,)``.
    """

    every: Tensor
    gamma: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """γ^⌊t / every⌋."""
        # Not gamma**falls: the last bit of torch's pow depends on how many replicas stand beside.
        return torch.exp((updates // self.every) * self.gamma.log())


@dataclass(frozen=True)
class Cosine(Constant):
    """Fall along half a cosine, as ``CosineAnnealingLR`` over the whole run.

    Args:
        min_factor: the factor at the end, ``(R,)``.

    Source: Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts.
    """

    min_factor: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """Min + (1 - min) (1 + cos(π t / steps)) / 2."""
        return self.anneal(torch.full_like(self.min_factor, updates / self.steps))

    def anneal(self, progress: Tensor) -> Tensor:
        """The half cosine at a share of its way.

        Args:
            progress: from 0 to 1, ``(R,)``.
        """
        return self.min_factor + (1 - self.min_factor) * (1 + torch.cos(torch.pi * progress)) / 2


@dataclass(frozen=True)
class WarmupCosine(Cosine):
    """Rise linearly to the full learning rate, then fall along half a cosine.

    Args:
        warmup_steps: updates before the full learning rate is reached, ``(R,)``.

    Source: Goyal et al. 2017, §2.2, for the rise.
    """

    warmup_steps: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """(t + 1) / (warmup + 1) during the rise, then the half cosine over what is left."""
        rise = (updates + 1) / (self.warmup_steps + 1).double()
        progress = (updates - self.warmup_steps) / (self.steps - self.warmup_steps).double()
        return torch.where(updates < self.warmup_steps, rise, self.anneal(progress))


@dataclass(frozen=True)
class Plateau(Constant):
    """Fall when the test loss stops improving, as ``ReduceLROnPlateau``.

    Args:
        factor_of_fall: factor of one fall, ``(R,)``.
        patience: test passes without improvement that are tolerated, ``(R,)``.
        threshold: relative improvement that counts, ``(R,)``.
        min_factor: the factor below which it won't fall, ``(R,)``.
    """

    factor_of_fall: Tensor
    patience: Tensor
    threshold: Tensor
    min_factor: Tensor

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Nothing was seen."""
        one = super().init(replicas, device)["one"]
        return {"factor": one, "best": one * torch.inf, "bad_passes": one * 0}

    def factor(self, updates: int, state: State) -> Tensor:
        """What the test passes so far have left."""
        return state["factor"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Count passes without improvement; fall when there are more than tolerated."""
        test_loss = test_loss.double()
        better = test_loss < state["best"] * (1 - self.threshold)  # (R,); never for NaN or ∞
        better &= test_loss.isfinite()  # nor for -∞
        bad_passes = torch.where(better, 0.0, state["bad_passes"] + 1)
        falls = bad_passes > self.patience
        lower = torch.maximum(state["factor"] * self.factor_of_fall, self.min_factor)
        return {
            "factor": torch.where(falls, lower, state["factor"]),
            "best": torch.where(better, test_loss, state["best"]),
            "bad_passes": torch.where(falls, 0.0, bad_passes),
        }


SCHEDULES: dict[str, type[Any]] = {
    "constant": Constant,
    "step": StepDecay,
    "cosine": Cosine,
    "warmup_cosine": WarmupCosine,
    "plateau": Plateau,
}


def build(
    options: Sequence[ScheduleOptions], steps: int, device: torch.device | str = "cpu"
) -> Schedule:
    """Make the schedule of a fleet.

    Args:
        options: the ``schedule`` section of each replica, length R.
        steps: training steps of the whole run.
        device: where its tensors go.
    """
    knobs = stack(options, device)
    if "factor" in knobs:  # the knob's name is the method's
        knobs["factor_of_fall"] = knobs.pop("factor")
    schedule: Schedule = SCHEDULES[options[0].name](steps=steps, **knobs)
    return schedule
