"""How far gradients reach back, of many runs: measured at initialization and after training."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.axes import Params
from hw2exp.config.command_line import read
from hw2exp.config.problems import ConfigError
from hw2exp.config.recorded import recorded_config
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.gradient_reach import (
    Node,
    hidden_state,
    lstm_memory,
    spectral_norms,
    state_jacobians,
)
from hw2exp.fleet import Fleet
from hw2exp.records.parameters import read_parameters
from hw2exp.records.run_dir import RESULT, read_finished
from hw2exp.task import CHECK
from hw2exp.theory.drawing import save

MODELS = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
SEEDS = 64
SEQUENCES = 4
"""Over which the logarithm of a run's norm is averaged."""

VANISHED, EXPLODED = 1e-3, 10.0
"""A gradient has vanished if, over the longest lag, less than a thousandth is left; it has
exploded if at some lag it is more than ten times what it was."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """‖∂h[T]/∂h[t]‖ of R runs of one model, in a state of training.

    Args:
        model: its name; ``lstm, c`` where c[t] stands for h[t].
        logarithms: of the norm, a column for each lag T − t = 1 … T − 1, ``(R, T-1)``.
        solved: how many of the runs solved their task; nothing if they are untrained.
    """

    model: str
    logarithms: Floats
    solved: int | None = None

    def rates(self) -> Floats:
        """The factor that a step back multiplies the norm by: e to a fitted line's slope, ``(R,)``.

        Lags whose norm is zero or infinite are left out; a run with fewer than ten others is NaN.
        """
        return np.array([_rate(row) for row in self.logarithms])

    def vanished(self) -> int:
        """Of how many runs the gradient has vanished at the longest lag."""
        return int((self.logarithms[:, -1] < math.log(VANISHED)).sum())

    def exploded(self) -> int:
        """Of how many runs it explodes at some lag."""
        return int((self.logarithms.max(1) > math.log(EXPLODED)).sum())

    def stayed(self) -> int:
        """Of how many it does not."""
        return len(self.logarithms) - self.exploded()


def _rate(logarithms: Floats) -> float:
    lags = np.arange(1, len(logarithms) + 1)
    known = np.isfinite(logarithms)
    if known.sum() < 10:
        return math.nan
    return math.exp(np.polyfit(lags[known], logarithms[known], 1)[0])


def at_initialization(seeds: int = SEEDS) -> dict[str, Reach]:
    """Measure untrained networks.

    Args:
        seeds: how many of each model.
    """
    found: dict[str, Reach] = {}
    for model in MODELS:
        words = ["-m", "experiment=gradient_reach", f"model={model}", f"seed=range(0,{seeds})"]
        configs = [job.config for job in read(words).jobs]
        fleet = Fleet(configs)
        found |= _measure(fleet, fleet.params)
    return found


def after_training(folder: Path) -> dict[str, Reach]:
    """Measure the networks of a sweep over models and seeds.

    Args:
        folder: of the sweep.

    Raises:
        ConfigError: there are no such runs in it, or ones that differ in more than model and seed.
    """
    found: dict[str, Reach] = {}
    for runs in _runs(folder).values():
        fleet = Fleet([run.config for run in runs])
        saved = [_parameters(run.folder) for run in runs]
        params = {
            name: torch.from_numpy(np.stack([own[name] for own in saved])) for name in fleet.params
        }
        solved = sum(run.solved for run in runs)
        found |= {name: replace(own, solved=solved) for name, own in _measure(fleet, params)}
    return found


@dataclass(frozen=True)
class _Run:
    """A run of the sweep that came to its end."""

    folder: Path
    config: TrainConfig
    solved: bool


def _runs(folder: Path) -> dict[str, list[_Run]]:
    """By model."""
    found: dict[str, list[_Run]] = {}
    for path in sorted(folder.glob(f"**/{RESULT}")):
        if (result := read_finished(path.parent)) is not None:
            run = _Run(path.parent, recorded_config(path.parent), result.solved_at is not None)
            found.setdefault(run.config.model.name, []).append(run)
    if not found:
        raise ConfigError([f"{folder}: holds no run that came to its end"])
    for model, runs in found.items():
        arms = {run.config.model_copy(update={"seed": 0}).model_dump_json() for run in runs}
        if len(arms) > 1:
            raise ConfigError([f"{folder}: its runs of {model} differ in more than the seed"])
        if (norm := runs[0].config.norm.name) != "none":
            raise ConfigError([f"{folder}: its runs have norm={norm}; must be none"])
    return found


def _parameters(folder: Path) -> dict[str, NDArray[np.float32]]:
    try:
        return read_parameters(folder)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{folder}: its parameters can't be read: {error}"]) from error


def _measure(fleet: Fleet, params: Params) -> Iterator[tuple[str, Reach]]:
    """The reach of each thing that the model hands on, by name."""
    symbols, _ = fleet.batch(0, CHECK, SEQUENCES)
    x = fleet.model.one_hot.double()[symbols.mT.long()]  # (R, T, B, I)
    double = {name: value.double() for name, value in params.items()}
    model = fleet.config.model.name
    nodes: dict[str, Node] = {model: hidden_state}
    if model == "lstm":
        nodes["lstm, c"] = lstm_memory
    for name, node in nodes.items():
        jacobians = state_jacobians(fleet.model.cell, double, x, node)  # (R, B, T-1, H, H)
        norms = spectral_norms(jacobians).flip(2)  # (R, B, T-1), by lag
        yield name, Reach(name, norms.log().mean(1).numpy())


def draw_reach(states: Mapping[str, Mapping[str, Reach]], path: Path) -> None:
    """Draw the norms against the lag, median and quartiles, a panel for each state of training.

    Args:
        states: what was measured, by the state's name.
        path: an image file; its folder must exist.
    """
    from matplotlib.figure import Figure

    figure = Figure((4.6 * len(states), 3.8), layout="constrained")
    panels: Any = np.atleast_1d(figure.subplots(1, len(states), sharey=True))
    for axes, (state, found) in zip(panels, states.items(), strict=True):
        for color, reach in enumerate(found.values()):
            lags = np.arange(1, reach.logarithms.shape[1] + 1)
            low, middle, high = np.quantile(
                reach.logarithms / math.log(10), [0.25, 0.5, 0.75], axis=0, method="inverted_cdf"
            )
            axes.plot(lags, middle, color=f"C{color}", label=reach.model)
            axes.fill_between(lags, low, high, color=f"C{color}", alpha=0.15, linewidth=0)
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.set(title=state, xlabel="lag T − t", ylim=(-32, 6))
        axes.legend(frameon=False)
    panels[0].set_ylabel("log₁₀ ‖∂h[T]/∂h[t]‖, median and quartiles")
    save(figure, path)
