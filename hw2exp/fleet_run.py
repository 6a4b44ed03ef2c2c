"""One fleet from its configs to its results: check, train, record."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from hw2exp.config.problems import ConfigError
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet import Fleet
from hw2exp.models import CELLS
from hw2exp.recording import Recording
from hw2exp.records.run_dir import RunResult
from hw2exp.stabilizers import norm
from hw2exp.task import PAD
from hw2exp.terminal import LiveLine, print_start
from hw2exp.training import InitialLossError, Observer, check_initial, train


def choose_device(name: str) -> torch.device:
    """Turn the config's ``device`` into one of torch's.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``. Auto is the CPU: at these sizes a GPU spends its time
            on starting kernels.
    """
    return torch.device("cuda" if name == "cuda" else "cpu")


def check_machine(configs: Sequence[TrainConfig]) -> None:
    """Refuse what only torch can tell: a device that isn't there, a norm that would do nothing.

    Args:
        configs: of all jobs.

    Raises:
        ConfigError: with a line for every problem.
    """
    problems: dict[str, None] = {}
    if any(config.device == "cuda" for config in configs) and not torch.cuda.is_available():
        problems["device=cuda: there is no CUDA device; use device=cpu"] = None
    for config in configs:
        terms = CELLS[config.model.name](config.model, PAD).terms()
        own = norm.build([config.norm])
        if config.norm.name != "none" and not own.gains(terms):
            model = f"model={config.model.name} names no terms for it"
            problems[f"norm={config.norm.name}: {model}; use norm=none"] = None
    if problems:
        raise ConfigError(problems)


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
        MemoryError: the fleet doesn't fit into memory.
    """
    try:
        return _run_fleet(configs, folders, interrupted, show)
    except RuntimeError as error:
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise MemoryError(
            "out of memory; lower batch_size, model.hidden_size, task.length or eval_batches"
        ) from error


def _run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupted: Callable[[], bool],
    show: bool,
) -> list[RunResult]:
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
