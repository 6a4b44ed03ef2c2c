"""Our training step and JAX's, as programs that take turns on one core; both count CPU time."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench_parts.measure import Block
from hw2exp.config.command_line import read
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance, train_step
from hw2exp.tasks.temporal_order import TemporalOrder

BLOCK = 320
"""Replica-steps per block."""

UNROLLS = 1, 2, 4, 8

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
    symbols, labels = (np.stack(part).astype(np.int32) for part in zip(*drawn, strict=True))
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


def jax_steps(model: str, replicas: int) -> tuple[str, Block]:
    """Build JAX's training steps on batches drawn beforehand, with the best unroll of the scan."""
    import jax

    from peers import jax_fleet

    assert len(jax.devices()) == 1
    fleet, steps = fleet_of(replicas, f"model={model}"), max(2, BLOCK // replicas)
    ready = jax.device_put(batches(fleet, steps))

    def program(unroll: int) -> Block:
        train = jax_fleet.trainer(model, unroll)
        params = {name: jax.numpy.array(value.numpy()) for name, value in fleet.params.items()}
        state = params, jax.tree.map(jax.numpy.zeros_like, params)

        def work() -> None:
            nonlocal state
            state, losses = train(state, ready)
            losses.block_until_ready()

        work()
        return lambda: speed(work, steps * replicas)

    programs = {unroll: program(unroll) for unroll in UNROLLS}
    best = max(programs, key=lambda unroll: max(programs[unroll]() for _ in range(3)))
    return f"{best}", programs[best]


def deviation(model: str) -> tuple[float, float]:
    """Return the deviations of JAX's loss and gradient from ours on one batch, relative to ours.

    Our gradient is derived from one step of plain gradient descent. The learning rate is so large
    that the rounding of the parameters does not matter.
    """
    import jax

    from peers import jax_fleet

    descent = "optimizer=sgd", f"optimizer.lr={LARGE}", "optimizer.momentum=0.0"
    fleet = fleet_of(4, f"model={model}", *descent)
    before = {name: value.numpy().copy() for name, value in fleet.params.items()}
    measured = train_step(fleet, 1)
    after = {name: value.numpy() for name, value in fleet.params.items()}
    symbols, labels = batches(fleet, 1)
    loss, grads = jax.jit(jax_fleet.loss_and_gradient(model, 1))(before, symbols[0], labels[0])
    return relative(np.asarray(loss), measured.loss.numpy()), max(
        relative(np.asarray(grads[name]), (before[name] - after[name]) / LARGE) for name in before
    )


def relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
