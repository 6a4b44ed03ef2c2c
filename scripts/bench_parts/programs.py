"""Our training step as a program that takes turns on one core, and the data for JAX's."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench_parts.measure import Block
from hw2exp.config.command_line import read
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance, train_step
from hw2exp.tasks.temporal_order import TemporalOrder

BLOCK = 640
"""Replica-steps per block."""

LARGE = 2.0**14
"""The learning rate of :func:`deviation`."""

Array = NDArray[Any]


def fleet_of(replicas: int, *overrides: str) -> Fleet:
    """Build a fleet of seeds 0 … R - 1, and limit torch to one thread."""
    torch.set_num_threads(1)
    jobs = read(["-m", *overrides, f"seed=range(0,{replicas})"]).jobs
    return Fleet([job.config for job in jobs])


def batches(fleet: Fleet, steps: int) -> tuple[Array, Array]:
    """Draw the batches of the first steps: symbols ``(N, R, T, B)`` and labels ``(N, R, B)``."""
    task = fleet.config.task
    order = TemporalOrder(task.length, task.t1, task.t2)
    seeds = np.array([config.seed for config in fleet.configs], dtype=np.uint64)
    drawn = [order.batch(seeds, n, fleet.config.batch_size) for n in range(1, steps + 1)]
    symbols, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    return symbols.swapaxes(2, 3), labels


def speed(work: Callable[[], object], replica_steps: int) -> float:
    """Measure replica-steps per second of CPU time."""
    began = time.process_time()
    work()
    return replica_steps / (time.process_time() - began)


def our_steps(model: str, replicas: int) -> tuple[str, Block]:
    """Build our training steps, each of which draws its batch."""
    fleet, done, steps = fleet_of(replicas, f"model={model}"), 0, max(2, BLOCK // replicas)

    def work() -> None:
        nonlocal done
        done += len(advance(fleet, done + 1, done + steps).loss)

    work()
    return "", lambda: speed(work, steps * replicas)


def write_data(model: str, replicas: int, steps: int, path: Path) -> None:
    """Write parameters and batches of a fleet for JAX's program, see ``peers/jax_program.py``.

    Args:
        model: the cell's name.
        replicas: replicas, R.
        steps: steps, N.
        path: the file to write.
    """
    fleet = fleet_of(replicas, f"model={model}")
    symbols, labels = batches(fleet, steps)
    params = {name: value.numpy() for name, value in fleet.params.items()}
    np.savez(path, symbols=symbols, labels=labels, **params)


def deviation(model: str, found: Path) -> tuple[float, float]:
    """Return the deviations of a loss and gradient in a file from ours, relative to ours.

    Our gradient is derived from one step of plain gradient descent. The learning rate is so large
    that the rounding of the parameters does not matter.

    Args:
        model: the cell's name.
        found: loss and gradients by name on the first batch of a fleet of four.
    """
    descent = "optimizer=sgd", f"optimizer.lr={LARGE}", "optimizer.momentum=0.0"
    fleet = fleet_of(4, f"model={model}", *descent)
    before = {name: value.numpy().copy() for name, value in fleet.params.items()}
    measured = train_step(fleet, 1)
    after = {name: value.numpy() for name, value in fleet.params.items()}
    with np.load(found) as peer:
        return relative(peer["loss"], measured.loss.numpy()), max(
            relative(peer[name], (before[name] - after[name]) / LARGE) for name in before
        )


def relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
