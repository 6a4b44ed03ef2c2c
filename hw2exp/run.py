"""One fleet from its configs to its results: check, train, record."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet import Fleet
from hw2exp.recording import Recording
from hw2exp.records.run_dir import RunResult
from hw2exp.terminal import LiveLine, print_start
from hw2exp.training import InitialLossError, Observer, check_initial, train


def choose_device(name: str) -> torch.device:
    """Turn the config's ``device`` into one of torch's.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``. Auto is the CPU: at these sizes a GPU spends its time
            on starting kernels.
    """
    return torch.device("cuda" if name == "cuda" else "cpu")


def run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupted: Callable[[], bool] = lambda: False,
    show: bool = True,
) -> list[RunResult]:
    """Train a fleet and write every replica's run folder.

    Args:
        configs: one config a replica; they agree in all that is shared.
        folders: one run folder a replica; made if missing.
        interrupted: asked after every step whether to stop.
        show: print the live line.

    Returns:
        The result of each replica.

    Raises:
        InitialLossError: training would not start at ln 4, and the config says that is an error.
    """
    torch.set_num_threads(configs[0].threads)
    fleet = Fleet(configs, choose_device(configs[0].device))
    initial = fleet.initial()
    loss, accuracy = (values.double().cpu().numpy() for values in initial)
    for own_loss, own_accuracy in zip(loss, accuracy, strict=True):
        _check(configs[0].check_initial_loss, float(own_loss), float(own_accuracy))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    recording = Recording(fleet, folders, (loss, accuracy))
    if show:
        print_start(configs[0], folders[0], float(loss[0]), float(accuracy[0]))
    line = LiveLine(configs[0].steps, recording.spikes_so_far) if show else None
    observers: list[Observer] = [recording] if line is None else [recording, line]
    with line or nullcontext():
        train(fleet, observers, interrupted)
    return recording.finish(interrupted())


def _check(mode: str, loss: float, accuracy: float) -> None:
    problem = check_initial(loss, accuracy) if mode != "off" else None
    if problem and mode == "error":
        raise InitialLossError(problem)
    if problem:
        print(f"warning: {problem}", file=sys.stderr)
