"""Measure how far gradients reach back in many runs, at initialization and after training."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.config.command_line import read
from hw2exp.config.groups import AnyOrder
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.gradient_flow import fitted_factors
from hw2exp.diagnostics.gradient_reach import (
    Node,
    hidden_state,
    lstm_memory,
    spectral_norms,
    state_jacobians,
)
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import Params, Shape
from hw2exp.records.arms import Arm
from hw2exp.records.parameters import read_parameters
from hw2exp.records.runs import read_runs
from hw2exp.system.problems import ConfigError, show
from hw2exp.tasks.task import CHECK

MODELS = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
SEEDS = 64
SEQUENCES = 2
"""The number of sequences over which the logarithm of a run's norm is averaged."""

VANISHED = (1e-1, 1e-2, 1e-3)
"""Shares of the gradient below which it has vanished; three, because the choice is arbitrary."""

MEMORY = "lstm, c"
"""The name of an LSTM's reach measured by its memory c[t] instead of its state h[t]."""


@dataclass(frozen=True)
class Trained:
    """The outcome of training an arm's runs.

    Args:
        solved: the number of runs that solved their task.
        diverged: the number of runs that diverged; these are measured at their last finite
            parameters.
    """

    solved: int
    diverged: int


@dataclass(frozen=True)
class Reach:
    """‖∂h[T]/∂h[t]‖ of R runs of one model, untrained or trained.

    Args:
        model: the model's name; ``lstm, c`` if measured by c[t] instead of h[t].
        logarithms: the logarithm of the norm, a column for each lag T − t = 1 … T − 1,
            ``(R, T-1)``.
        trained: the outcome of training; None for untrained runs.
    """

    model: str
    logarithms: Floats
    trained: Trained | None = None

    def lines(self) -> tuple[Floats, Floats]:
        """Fit a line to each run's logarithms against the lag.

        Lags whose norm is zero or infinite are left out.

        Returns:
            e to the slope, which is the factor for each time step back, and R², each ``(R,)``; NaN
            for runs with fewer than ten lags left.
        """
        return fitted_factors(self.logarithms, fewest=10)

    def at(self, lag: int) -> Floats:
        """Return the logarithms at a lag, counted from 1, ``(R,)``."""
        return self.logarithms[:, lag - 1]

    def vanished(self, lag: int, left: float) -> int:
        """Count the vanished gradients: runs whose norm at a lag, from 1, is below ``left``."""
        return int((self.at(lag) < math.log(left)).sum())

    def largest(self) -> Floats:
        """Return the logarithm of each run's largest norm at any lag, ``(R,)``."""
        return np.asarray(self.logarithms.max(1))


def farthest_mark() -> int:
    """Return the largest lag of a mark in the experiment's sequences: the reach a model needs."""
    length, first, _ = _task().ranges
    return length[1] - 2 - first[0]


def at_initialization(seeds: int = SEEDS) -> dict[str, Reach]:
    """Measure ``seeds`` untrained networks of each of ``MODELS``; return the reaches by name."""
    found: dict[str, Reach] = {}
    for model in MODELS:
        words = ["-m", "experiment=gradient_reach", f"model={model}", f"seed=range(0,{seeds})"]
        configs = [job.config for job in read(words).jobs]
        fleet = Fleet(configs)
        found |= _measure(fleet, fleet.params)
    return found


def after_training(folder: Path) -> tuple[dict[str, Reach], tuple[str, ...]]:
    """Measure the networks of a sweep over models and seeds, in its folder.

    Returns:
        The measured reaches by name, and lines about runs that were left out.

    Raises:
        ConfigError: the folder has no such runs, or runs that differ in more than model and seed.
    """
    found = read_runs(folder)
    if problem := unfit(found.arms):
        raise ConfigError([f"{folder}: {problem}"])
    return measure_trained(found.arms), found.left_out


def measure_trained(arms: Sequence[Arm]) -> dict[str, Reach]:
    """Measure trained networks, in arms that :func:`unfit` accepts.

    Raises:
        ConfigError: the parameters of a run can't be read.
    """
    found: dict[str, Reach] = {}
    for arm in arms:
        fleet = Fleet([run.config for run in arm.runs.values()])
        shapes = {name: tuple(value.shape[1:]) for name, value in fleet.params.items()}
        saved = [_parameters(run.folder, shapes) for run in arm.runs.values()]
        params = {
            name: torch.from_numpy(np.stack([own[name] for own in saved])) for name in fleet.params
        }
        trained = Trained(
            solved=sum(result.solved_at is not None for result in arm.results),
            diverged=sum(result.diverged_at is not None for result in arm.results),
        )
        found |= {
            name: replace(own, trained=trained) for name, own in _measure(fleet, params).items()
        }
    return found


def unfit(arms: Sequence[Arm]) -> str | None:
    """Return the reason why the reach of these runs can't be measured or compared, or None.

    There must be one arm for each model, equal in all else, without normalization and on the
    experiment's sequences.
    """
    by_model = Counter(arm.model for arm in arms)
    first = arms[0]
    for arm in arms:
        model, config = arm.model, arm.config
        if by_model[model] > 1:
            return f"its runs of {model} differ in more than the seed"
        for key in sorted(arm.settings.keys() | first.settings.keys()):
            own, others = arm.settings.get(key), first.settings.get(key)
            if own != others and (not key.startswith("model") or key == "model.hidden_size"):
                return f"its models differ in {key}: {show(others)} and {show(own)}"
        if config.norm.name != "none":
            return f"its runs have norm={config.norm.name}; must be none"
        if config.task != (task := _task()):
            own = [f"task={config.task.name}"]
            if isinstance(config.task, AnyOrder):
                names = ("task.length", "t1", "t2")
                own = [f"{n}={show(r)}" for n, r in zip(names, config.task.ranges, strict=True)]
            return (
                f"its runs have {' '.join(own)}; must have those of "
                f"experiment=gradient_reach, {' '.join(map(show, task.ranges))}"
            )
    return None


def _experiment() -> TrainConfig:
    return read(["experiment=gradient_reach"]).jobs[0].config


def _task() -> AnyOrder:
    task = _experiment().task
    assert isinstance(task, AnyOrder)
    return task


def _parameters(folder: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[np.float32]]:
    try:
        params = read_parameters(folder)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{folder}: its parameters can't be read: {error}"]) from error
    if {name: value.shape for name, value in params.items()} != shapes:
        raise ConfigError([f"{folder}: its parameters are not of its model"])
    return params


def _measure(fleet: Fleet, params: Params) -> dict[str, Reach]:
    """Measure the reach by each quantity that the model passes on in time, by name."""
    symbols, _ = fleet.batch(0, CHECK, SEQUENCES)
    x = fleet.model.one_hot.double()[symbols.mT.long()]  # (R, T, B, I)
    double = {name: value.double() for name, value in params.items()}
    model = fleet.config.model.name
    nodes: dict[str, Node] = {model: hidden_state}
    if model == "lstm":
        nodes[MEMORY] = lstm_memory
    found = {}
    for name, node in nodes.items():
        jacobians = state_jacobians(fleet.model.cell, double, x, node)  # (R, B, T-1, H, H)
        norms = spectral_norms(jacobians).flip(2)  # (R, B, T-1), by lag
        found[name] = Reach(name, norms.log().mean(1).numpy())
    return found
