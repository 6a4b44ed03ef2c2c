"""Name a checkpoint's tensors, and check that a run can have reached its state.

Digests show that a checkpoint is unchanged, not that a run can resume from it. Every checkpoint of
a run passes the checks here, because a run writes checkpoints only while it trains.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.schema import TrainConfig
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.parameters import part_of

SINCE = "since_row."
SPIKES, EXPLOSIONS, EXPLODED = "spikes.recent", "explosions.recent", "exploded"
RING = "ring."

FINITE = ("params", "optimizer.", "clip.", "grads")
"""Prefixes of the tensors that are finite as long as a run trains."""

Named = dict[str, NDArray[Any]]


def rows_until(step: int, config: TrainConfig) -> int:
    """Return the number of rows of metrics after a step, which must be before the run's last."""
    log, test = config.log_every, config.eval_every
    return step // log + step // test - step // math.lcm(log, test)


def steps_since_row(step: int, config: TrainConfig) -> int:
    """Return the number of steps since the last row of metrics, at a step before the run's last."""
    return min(step % config.log_every, step % config.eval_every)


def contradiction(saved: Checkpoint, tensors: Named, config: TrainConfig) -> str | None:
    """Return why no run can have reached a checkpoint's state, or None.

    Args:
        saved: the checkpoint.
        tensors: the checkpoint's tensors, with the right names, types and shapes.
        config: the config of the run to resume.
    """
    steps = np.array([saved.step])
    own = {name: tensors[name][None] for name in tensors if not name.startswith(RING)}
    ring = part_of(RING, tensors)
    problems = [_of_facts(saved, config), _of_state(own, steps, config)]
    problems.append(_of_history(tensors, saved.step))
    if ring:  # the state before each of the last steps
        before = saved.step - np.arange(len(ring["step"]), 0, -1)
        problems.append(f"{RING}{each}" for each in _of_state(ring, before, config))
    return next((each for own in problems for each in own), None)


def _of_facts(saved: Checkpoint, config: TrainConfig) -> Iterator[str]:
    step, facts = saved.step, saved.facts
    if step >= config.steps:
        yield f"step {step} is not before the last of {config.steps}"
    if facts.rows.count != (rows := rows_until(step, config)):
        yield f"has {facts.rows.count} rows of metrics, not {rows}"
    last = 0
    for peak, start, end, *_ in facts.spikes:
        if not last < start <= peak <= end <= step:
            yield f"has a spike at steps {start} to {end}, its peak at {peak}"
        last = end


def _of_state(state: Named, steps: NDArray[np.int64], config: TrainConfig) -> Iterator[str]:
    """Yield the problems of states ``(n, ...)`` after the given steps ``(n,)``."""
    if not (state["active"].all() and (state["step"] == steps).all()):
        yield f"active, step: is not of a run that trains at step {steps[-1]}"
    if state["diverged_at"].any():
        yield "diverged_at: is of a run that has diverged"
    solved, passes = state["solved_at"], state["passes"]
    if not ((solved >= 0) & (solved <= steps)).all() or (solved.any() and config.stop_when_solved):
        yield "solved_at: is not of a run that trains"
    if not ((passes >= 0) & (passes <= steps // config.eval_every)).all():
        yield "passes: are not the test passes so far"
    for name, value in state.items():
        if name.startswith(FINITE) and not np.isfinite(value).all():
            yield f"{name}: is not finite"


def _of_history(tensors: Named, step: int) -> Iterator[str]:
    losses = np.isfinite(tensors[SPIKES])
    made = min(step, len(losses))
    if losses[: len(losses) - made].any() or not losses[len(losses) - made :].all():
        yield f"{SPIKES}: are not the losses of {made} steps"
    for name in (EXPLOSIONS, f"{SINCE}loss", f"{SINCE}grad_norm_raw"):
        if name in tensors and not np.isfinite(tensors[name]).all():
            yield f"{name}: is not finite"
    exploded = tensors[EXPLODED]
    if len(exploded) and not (
        exploded[0] >= 1 and exploded[-1] <= step and (np.diff(exploded) > 0).all()
    ):
        yield f"{EXPLODED}: are no steps in order"
