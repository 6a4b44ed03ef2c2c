"""Learning-rate schedules: a factor on the learning rate of each replica."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.config.groups import Schedule as ScheduleOptions
from hw2exp.models.axes import State
from hw2exp.models.hyperparameters import stack


class Schedule(Protocol):
    """A schedule, which multiplies the learning rate by a factor."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first step."""

    def factor(self, updates: int, state: State) -> Tensor:
        """Return the factor for the next update, ``(R,)`` in float64.

        Args:
            updates: number of previous updates.
            state: state from ``init`` or the last ``observe``.
        """

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Return the state after a test pass.

        Args:
            test_loss: mean test loss, ``(R,)``.
            state: state from ``init`` or the last ``observe``.
        """


@dataclass(frozen=True)
class Constant:
    """A constant learning rate; base class of the other schedules.

    Args:
        steps: training steps of the whole run.
    """

    steps: int

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return a one for every replica."""
        return {"one": torch.ones(replicas, dtype=torch.float64, device=device)}

    def factor(self, updates: int, state: State) -> Tensor:
        """Return 1."""
        return state["one"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Return the state unchanged."""
        return state


@dataclass(frozen=True)
class StepDecay(Constant):
    """Decay by γ at fixed intervals, as in ``torch.optim.lr_scheduler.StepLR``.

    Args:
        every: steps between two decays, ``(R,)``.
        gamma: factor of one decay, γ, ``(R,)``.
    """

    every: Tensor
    gamma: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """Return γ^⌊t / every⌋."""
        # Not gamma**decays: the last bit of torch's pow depends on the number of replicas.
        return torch.exp((updates // self.every) * self.gamma.log())


@dataclass(frozen=True)
class Cosine(Constant):
    """Decay along half a cosine over the whole run, as in ``CosineAnnealingLR``.

    Args:
        min_factor: the factor at the end, ``(R,)``.

    Source: Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts.
    """

    min_factor: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """Return min + (1 - min) (1 + cos(π t / steps)) / 2."""
        return self.anneal(torch.full_like(self.min_factor, updates / self.steps))

    def anneal(self, progress: Tensor) -> Tensor:
        """Return the half cosine at some progress.

        Args:
            progress: progress from 0 to 1, ``(R,)``.
        """
        return self.min_factor + (1 - self.min_factor) * (1 + torch.cos(torch.pi * progress)) / 2


@dataclass(frozen=True)
class WarmupCosine(Cosine):
    """Linear warm-up to the full learning rate, then decay along half a cosine.

    Args:
        warmup_steps: updates before the full learning rate is reached, ``(R,)``.

    Source: Goyal et al. 2017, §2.2, for the warm-up.
    """

    warmup_steps: Tensor

    def factor(self, updates: int, state: State) -> Tensor:
        """Return (t + 1) / (warmup + 1) during warm-up, then the half cosine over the rest."""
        rise = (updates + 1) / (self.warmup_steps + 1).double()
        progress = (updates - self.warmup_steps) / (self.steps - self.warmup_steps).double()
        return torch.where(updates < self.warmup_steps, rise, self.anneal(progress))


@dataclass(frozen=True)
class Plateau(Constant):
    """Decay when the test loss stops improving, as in ``ReduceLROnPlateau``.

    Args:
        factor_of_fall: factor of one decay, ``(R,)``.
        patience: tolerated number of test passes without improvement, ``(R,)``.
        threshold: smallest relative improvement that counts, ``(R,)``.
        min_factor: lower bound of the factor, ``(R,)``.
    """

    factor_of_fall: Tensor
    patience: Tensor
    threshold: Tensor
    min_factor: Tensor

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return factor 1, best loss ∞ and no bad passes."""
        one = super().init(replicas, device)["one"]
        return {"factor": one, "best": one * torch.inf, "bad_passes": one * 0}

    def factor(self, updates: int, state: State) -> Tensor:
        """Return the factor after the test passes so far."""
        return state["factor"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Count passes without improvement; decay after more than ``patience``."""
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
        device: the device of the tensors.
    """
    knobs = stack(options, device)
    if "factor" in knobs:  # the knob's name is the method's
        knobs["factor_of_fall"] = knobs.pop("factor")
    schedule: Schedule = SCHEDULES[options[0].name](steps=steps, **knobs)
    return schedule
