"""Train by JAX on data from a file, in an environment that needs only jax and numpy.

    python jax_program.py MODEL DATA.npz check OUT.npz   # loss and gradient of the first batch
    python jax_program.py MODEL DATA.npz race            # a speed for each line of standard input
    python jax_program.py MODEL DATA.npz once            # all steps in one call

The file holds the parameters ``(R, ...)`` by name, ``symbols`` ``(N, R, T, B)`` and ``labels``
``(N, R, B)``. Speeds are replica-steps per second of CPU time.
"""

import sys
import time
from collections.abc import Callable

import jax
import jax_fleet
import numpy as np

UNROLLS = 1, 2, 4, 8
"""Unrollings of the scan over time; a race is run with the fastest."""


def program(model: str, params: dict, batches: tuple, unroll: int) -> Callable[[], float]:
    """Compile the training over all batches; return a function that runs it and returns the speed.

    Args:
        model: the cell's name.
        params: the parameters by name, ``(R, ...)``.
        batches: symbols and labels.
        unroll: unrolling of the scan over time.
    """
    train = jax_fleet.trainer(model, unroll)
    state = params, jax.tree_util.tree_map(jax.numpy.zeros_like, params)
    replica_steps = batches[1].shape[0] * batches[1].shape[1]

    def run() -> float:
        nonlocal state
        began = time.process_time()
        state, losses = train(state, batches)
        losses.block_until_ready()
        return replica_steps / (time.process_time() - began)

    run()
    return run


def main(model: str, data: str, mode: str, out: str = "") -> None:
    assert len(jax.devices()) == 1
    with np.load(data) as file:
        symbols, labels = file["symbols"], file["labels"]
        names = [name for name in file.files if name not in ("symbols", "labels")]
        params = {name: file[name] for name in names}
    if mode == "check":
        run = jax.jit(jax_fleet.loss_and_gradient(model, 1))
        loss, grads = run(params, symbols[0].astype(np.int32), labels[0].astype(np.int32))
        np.savez(out, loss=loss, **grads)
        return
    batches = jax.device_put((symbols.astype(np.int32), labels.astype(np.int32)))

    def built(unroll: int) -> Callable[[], float]:
        fresh = {name: jax.numpy.array(value) for name, value in params.items()}
        return program(model, fresh, batches, unroll)

    if mode == "once":
        built(1)
        return
    programs = {unroll: built(unroll) for unroll in UNROLLS}
    best = max(programs, key=lambda unroll: max(programs[unroll]() for _ in range(3)))
    print(best, flush=True)
    for _ in sys.stdin:
        print(programs[best](), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
