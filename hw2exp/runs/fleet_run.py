"""Run a fleet from its configs to its results: check, train, record."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

import torch

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.evaluation import FRESH_SEQUENCES, evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.initial_loss import InitialLossError, check_balance, check_initial
from hw2exp.fleet.loop import Observer, train
from hw2exp.fleet.pruning import Pruner
from hw2exp.fleet.torch_state import choose_device, torch_as_known
from hw2exp.fleet.training_path import longest_kernel
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.checkpoint_folder import discard_after, newest
from hw2exp.records.manifest import DamagedError
from hw2exp.records.run_dir import RunResult
from hw2exp.records.write_order import clear
from hw2exp.runs.checkpointing import Checkpointer, check_fits, restore
from hw2exp.runs.live_line import LiveLine
from hw2exp.runs.monitor import Floats
from hw2exp.runs.recording import Recording
from hw2exp.runs.summary import print_start
from hw2exp.system import disk
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.kernel_cache import cache_problem, compiled_before
from hw2exp.system.lock import PATIENCE, FolderHeldError, hold
from hw2exp.system.terminal import echo, warn

NONE: Mapping[int, Exception] = {}

Outcome = RunResult | Exception
"""The result of a job, or the exception that prevented it."""


def find_start(
    folder: Path,
    config: TrainConfig,
    tell: Callable[[str], None] | None = None,
    before: int | None = None,
) -> Checkpoint | None:
    """Find the newest checkpoint that a run can resume from.

    Called before fleets are formed, because all replicas of a fleet must be at the same step.

    Args:
        folder: the run folder.
        config: the run's config.
        tell: the function that receives a line about each newer, unusable checkpoint; by default
            the line is printed as a warning.
        before: the step before which the checkpoint must be; None: the newest of all.

    Raises:
        ConfigError: the checkpoint belongs to a run that computes something else.
    """
    with torch_as_known():
        return newest(folder, tell or warn, config, check_fits, before)


def run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupt: Interrupt = NEVER,
    show: bool = True,
    observe: Callable[[Fleet], Observer] | None = None,
    saved: Sequence[Checkpoint | None] = (),
    patience: float = PATIENCE,
    pruning: Pruner | None = None,
) -> list[Outcome]:
    """Train a fleet and write every replica's run folder.

    Args:
        configs: the config of each replica; they agree in every shared knob.
        folders: the run folder of each replica; created if missing.
        interrupt: the interrupt, polled after every block of steps for a request to end or to save.
        show: whether to print the live line.
        observe: a function that makes an additional observer of the loop.
        saved: the checkpoint that each replica resumes from, all of the same step; empty: all
            replicas start from scratch.
        patience: seconds to wait for folders that another process holds.
        pruning: the rule that decides which replicas are pruned; None: none is.

    Returns:
        The result of each replica, or the error that prevented it: an initial loss far from ln 4
        (if the config treats this as an error), a folder that another process holds or that can't
        be written, or too little memory.
    """
    starts = {place: each for place, each in enumerate(saved) if each is not None}
    try:
        with torch_as_known(), ExitStack() as stack:
            held = hold_folders(folders, stack, patience)
            return _run_fleet(configs, folders, held, interrupt, show, observe, starts, pruning)
    except (OSError, DamagedError) as error:
        return [error for _ in configs]
    except (RuntimeError, MemoryError) as error:
        by_torch = "allocate memory" in str(error) or "out of memory" in str(error)
        if not by_torch and not isinstance(error, MemoryError):
            raise
        advice = "lower batch_size, model.hidden_size, task.length, eval_batches or fleet_size"
        return [MemoryError(f"out of memory; {advice}") for _ in configs]


def announce_compilation(configs: Sequence[TrainConfig]) -> None:
    """Print a line if the kernels of any run have to be compiled first.

    Args:
        configs: the configs of the runs.
    """
    if not all(map(compiled_before, set(map(longest_kernel, configs)))):
        echo("compiling kernels, once for this machine: half a minute")


def hold_folders(
    folders: Sequence[Path], stack: ExitStack, patience: float
) -> dict[int, FolderHeldError]:
    """Lock run folders until the stack closes; return an error for each held elsewhere.

    Args:
        folders: the folders; created if missing.
        stack: the stack that holds the locks.
        patience: seconds to wait for other holders, for all folders together.
    """
    held = {}
    deadline = time.monotonic() + patience
    for place, folder in enumerate(folders):
        disk.make_folder(folder)
        try:
            stack.enter_context(hold(folder, max(0.0, deadline - time.monotonic())))
        except FolderHeldError as error:
            held[place] = error
    return held


def _run_fleet(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    held: Mapping[int, FolderHeldError],
    interrupt: Interrupt,
    show: bool,
    observe: Callable[[Fleet], Observer] | None,
    saved: Mapping[int, Checkpoint],
    pruning: Pruner | None,
) -> list[Outcome]:
    if show:
        announce_compilation(configs)
    fleet, initial, out = begin_fleet(configs, held, pruning)
    outcomes: dict[int, Outcome] = {**out}
    if len(outcomes) < len(configs):
        first = next(iter(saved.values())).step + 1 if saved else 1
        recording = _begin_recording(fleet, folders, initial, saved, interrupt)
        if show:
            loss, accuracy = (float(values[0]) for values in initial)
            print_start(configs[0], folders[0], loss, accuracy, first - 1)
        line = LiveLine(configs[0].steps, recording.spikes_so_far) if show else None
        observers: list[Observer] = [recording] if line is None else [recording, line]
        if observe is not None:
            observers.append(observe(fleet))
        try:
            with line or nullcontext():
                checkpointer = Checkpointer(fleet, recording, interrupt, saved)
                train(fleet, observers, checkpointer, first, recording.inspection)
            outcomes |= recording.finish()
        finally:
            recording.abandon()
    if problem := cache_problem():
        warn(problem)
    return [outcomes[place] for place in range(len(configs))]


def begin_fleet(
    configs: Sequence[TrainConfig],
    out: Mapping[int, Exception] = NONE,
    pruning: Pruner | None = None,
) -> tuple[Fleet, tuple[Floats, Floats], dict[int, Exception]]:
    """Make a fleet, and remove the runs that must not train.

    Args:
        configs: the config of each replica; they agree in every shared knob.
        out: the error of each run that is known not to train, by its place.
        pruning: the rule that decides which replicas are pruned; None: none is.

    Returns:
        The fleet; the loss and the accuracy before training, each ``(R,)``; and the error of each
        run that does not train: those of ``out``, and those that would not start at ln 4. If no run
        trains, the fleet keeps all of them.
    """
    fleet = Fleet(configs, choose_device(configs[0].device), pruning=pruning)
    measured = evaluate_initial(fleet)
    loss, accuracy, shares = (values.double().cpu().numpy() for values in measured)
    wrong = dict(out)
    for place, values in enumerate(zip(loss, accuracy, shares, strict=True)):
        if place not in out and (problem := _check(configs[0], *values)):
            wrong[place] = problem
    if 0 < len(wrong) < len(configs):
        left = torch.tensor([place in wrong for place in range(len(configs))])
        fleet.leave(left.to(fleet.device))
    if pruning is not None and len(wrong) < len(configs):
        pruning.begin(fleet.members)
    return fleet, (loss, accuracy), wrong


def _begin_recording(
    fleet: Fleet,
    folders: Sequence[Path],
    initial: tuple[Floats, Floats],
    saved: Mapping[int, Checkpoint],
    interrupt: Interrupt,
) -> Recording:
    """Start recording: remove files that don't belong to the steps so far, and restore the rest."""
    tables = {member: each.metrics() for member, each in saved.items()}
    diagnostics = {member: each.diagnostics() for member, each in saved.items()}
    recording = Recording(fleet, folders, initial, tables, diagnostics, interrupt)
    if saved:
        restore(fleet, recording, saved)
    events = {}
    for member, config in zip(map(int, fleet.members), fleet.configs, strict=True):
        folder, own = folders[member], saved.get(member)
        # With another number of steps, the run's row in HParams changes: start a new events file.
        same = own is not None and own.facts.config["steps"] == config.steps
        there = own is not None and same and own.knows_events()
        clear(folder, events=not there, spikes=own is None)
        discard_after(folder, own.step if own else 0, config.keep_checkpoints)
        if own is not None and there:
            events[member] = (own.facts.events.name, own.facts.events.bytes)
    recording.open_events(events)
    return recording


def _check(
    config: TrainConfig, loss: float, accuracy: float, shares: Floats
) -> InitialLossError | None:
    mode = config.check_initial_loss
    problem = check_balance(shares, FRESH_SEQUENCES) or check_initial(
        loss, accuracy, config.model.hidden_size, len(shares)
    )
    if mode == "off":
        return None
    if problem and mode == "error":
        return InitialLossError(problem)
    if problem:
        warn(problem)
    return None
