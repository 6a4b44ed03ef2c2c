"""One fleet from its configs to its results: check, train, record."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from hw2exp.config.problems import ConfigError
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet import Fleet
from hw2exp.kernel import compiled_before
from hw2exp.models import CELLS
from hw2exp.recording import Recording
from hw2exp.records.run_dir import RunResult, clear
from hw2exp.stabilizers import norm
from hw2exp.task import PAD
from hw2exp.terminal import LiveLine, print_start, say
from hw2exp.training import InitialLossError, Observer, check_initial, train

Outcome = RunResult | Exception
"""What became of a job: its result, or why there is none."""


def choose_device(name: str) -> torch.device:
    """Turn the config's ``device`` into one of torch's.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``. Auto is the CPU: at these sizes a GPU spends its time
            on starting kernels.
    """
    return torch.device("cuda" if name == "cuda" else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: several add up in another order, and only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        if config.norm.name == "none":
            continue
        terms = CELLS[config.model.name](config.model, PAD).terms()
        if not norm.build([config.norm]).gains(terms):
            model = f"model={config.model.name} names no terms for it"
            problems[f"norm={config.norm.name}: {model}; use norm=none"] = None
    if problems:
        raise ConfigError(problems)


def run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupted: Callable[[], bool] = lambda: False,
    show: bool = True,
    observe: Callable[[Fleet], Observer] | None = None,
) -> list[Outcome]:
    """Train a fleet and write every replica's run folder.

    Args:
        configs: one config a replica; they agree in all that is shared.
        folders: one run folder a replica; made if missing.
        interrupted: asked after every step whether to stop.
        show: print the live line.
        observe: makes one more observer of the loop.

    Returns:
        The result of each replica; or the error of one that would not start at ln 4, where the
        config says that this is one, or of one that doesn't fit into memory.
    """
    try:
        with one_thread():
            return _run_fleet(configs, folders, interrupted, show, observe)
    except (RuntimeError, MemoryError) as error:
        about = str(error)
        told = "allocate memory" in about or "out of memory" in about
        if not told and not isinstance(error, MemoryError):
            raise
        advice = "lower batch_size, model.hidden_size, task.length, eval_batches or fleet_size"
        return [MemoryError(f"out of memory; {advice}") for _ in configs]


def _run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupted: Callable[[], bool],
    show: bool,
    observe: Callable[[Fleet], Observer] | None,
) -> list[Outcome]:
    if show and not compiled_before():
        say("compiling kernels, once for this machine: some ten seconds")
    fleet = Fleet(configs, choose_device(configs[0].device))
    loss, accuracy = (values.double().cpu().numpy() for values in fleet.initial())
    wrong = [
        _check(configs[0].check_initial_loss, float(own_loss), float(own_accuracy))
        for own_loss, own_accuracy in zip(loss, accuracy, strict=True)
    ]
    outcomes: list[Outcome | None] = list(wrong)
    if all(wrong):
        return [error for error in wrong if error is not None]
    if any(wrong):
        fleet.leave(torch.tensor([error is not None for error in wrong], device=fleet.device))
    for member in map(int, fleet.members):
        folders[member].mkdir(parents=True, exist_ok=True)
        clear(folders[member])
    recording = Recording(fleet, folders, (loss, accuracy))
    if show:
        print_start(configs[0], folders[0], float(loss[0]), float(accuracy[0]))
    line = LiveLine(configs[0].steps, recording.spikes_so_far) if show else None
    observers: list[Observer] = [recording] if line is None else [recording, line]
    if observe is not None:
        observers.append(observe(fleet))
    with line or nullcontext():
        train(fleet, observers, interrupted)
    for place, result in recording.finish(interrupted()).items():
        outcomes[place] = result
    return [outcome for outcome in outcomes if outcome is not None]


def _check(mode: str, loss: float, accuracy: float) -> InitialLossError | None:
    problem = check_initial(loss, accuracy) if mode != "off" else None
    if problem and mode == "error":
        return InitialLossError(problem)
    if problem:
        print(f"warning: {problem}", file=sys.stderr)
    return None
