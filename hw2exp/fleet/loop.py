"""Run the training loop of a fleet of any size; a single run is a fleet of one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.evaluation import evaluate
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics, StepTrace
from hw2exp.models.axes import means, norms
from hw2exp.tasks.task import TRAIN


class Observer(Protocol):
    """An observer of the training loop; it never changes the training."""

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Receive the measurements of a block of steps.

        Args:
            steps: the numbers of the n steps.
            metrics: their measurements, ``(n, R)``.
            tested: the measurements of the test pass after the last step, if there was one.
        """


class Inspector(Protocol):
    """An inspector of training steps; it never changes the training."""

    def wants_flow(self, step: int) -> bool:
        """Return whether a step must compute the gradient flow, ‖∂ℓ/∂h[t]‖."""

    def inspect(self, step: int, trace: StepTrace) -> None:
        """Inspect a step.

        Args:
            step: the training step.
            trace: the tensors of the step.
        """


BLOCK = 64
"""Most steps in one call of compiled code; more would not be faster."""
BLOCK_SECONDS = 0.1
"""Time after which a block should end, because a signal is only seen between blocks."""


def train(
    fleet: Fleet,
    observers: Sequence[Observer],
    after: Callable[[int], bool] | None = None,
    first: int = 1,
    inspector: Inspector | None = None,
    block: int | None = None,
    last: int | None = None,
) -> None:
    """Train until the last step, until no replica is left, or until ``after`` returns True.

    A replica leaves the fleet when it diverges, when it solves the task under
    ``stop_when_solved``, or when it is pruned.

    Args:
        fleet: the runs.
        observers: observers of every block of steps.
        after: a function called after every block but the last; it may save a checkpoint, and
            returns whether to end.
        first: the first step.
        inspector: the inspector of every step, called before the observers.
        block: most steps in a block, by default ``BLOCK``; fewer if they take longer than
            ``BLOCK_SECONDS``. A block also ends where a test pass or a checkpoint is due. With an
            inspector, or without compiled steps, each step is a block.
        last: the last step, by default that of the config. Only the config's last step always ends
            with a test pass.
    """
    config, done = fleet.config, first - 1
    last = config.steps if last is None else last
    most = 1 if inspector is not None else block or BLOCK
    size = 1  # the first step may be slow, or wait for the compiler
    while done < last:
        before, began = done, time.monotonic()
        metrics = advance(fleet, done + 1, min(_end(config, done + 1, size), last), inspector)
        steps = range(done + 1, done + 1 + len(metrics.loss))
        done = steps[-1]
        due = done == config.steps or done % config.eval_every == 0
        tested = test_step(fleet, done) if due else None
        for observer in observers:
            observer.observe(steps, metrics, tested)
        over = ~fleet.state.active
        if done == config.steps or bool(over.all()):
            break
        if bool(over.any()):
            fleet.leave(over)
        if after is not None and after(done):
            break
        pace = (done - before) / max(time.monotonic() - began, 1e-9)
        size = max(1, min(most, int(pace * BLOCK_SECONDS)))


def _end(config: TrainConfig, first: int, size: int) -> int:
    """Return the last step of a block: it ends where a test pass or a checkpoint is due."""
    ends = [first + size - 1, config.steps, -(-first // config.eval_every) * config.eval_every]
    if every := config.checkpoint_every:
        ends.append(-(-first // every) * every)
        ends += [config.steps - 1] * (first < config.steps)
    return min(ends)


def advance(fleet: Fleet, first: int, last: int, inspector: Inspector | None = None) -> StepMetrics:
    """Train every replica for some steps; stop after a step in which one diverges.

    Without compiled steps, make only the first step.

    Args:
        fleet: the runs.
        first: the first step, from 1.
        last: the last step.
        inspector: the inspector; it needs ``first == last``.

    Returns:
        The measurements of the n steps made, ``(n, R)``.
    """
    if (compiled := fleet.compiled) is None:
        return plain_step(fleet, first, inspector)[None]
    keeps_flow = inspector is not None and inspector.wants_flow(first)
    rates = fleet.rates(first, last)
    metrics, trace = compiled.run(fleet.state, first, rates, keeps_flow, fleet.skipped)
    fleet.state = trace.after
    if inspector is not None:
        inspector.inspect(first, trace)
    return metrics


def train_step(fleet: Fleet, step: int) -> StepMetrics:
    """Train every replica for one step; return its measurements, each ``(R,)``.

    Args:
        fleet: the runs.
        step: the training step, from 1.
    """
    return advance(fleet, step, step)[0]


def plain_step(fleet: Fleet, step: int, inspector: Inspector | None = None) -> StepMetrics:
    """Train every replica for one step, on tensors: the definition of a step.

    Args:
        fleet: the runs.
        step: the training step, from 1.
        inspector: the inspector of the step.

    Returns:
        The measurements of the step, each ``(R,)``.
    """
    state = fleet.state
    symbols, labels = fleet.batch(step, TRAIN, fleet.config.batch_size)  # (R, B, T), (R, B)
    keeps_flow = inspector is not None and inspector.wants_flow(step)
    raw, back = fleet.loss_and_gradient(symbols, labels, keeps_flow)  # raw (R, P)
    grad_norm = norms(raw)  # (R,)
    grads, clip_state = fleet.clip.update(raw, state.params, grad_norm, state.clip)
    (lr,) = fleet.rates(step, step)  # (R,)
    params, optimizer_state = fleet.optimizer.update(state.params, grads, state.optimizer, lr)
    params = fleet.finish(params, symbols)
    proposed = replace(state, params=params, optimizer=optimizer_state, clip=clip_state)
    fleet.accept(step, back.loss, grad_norm, proposed)
    if inspector is not None:
        inspector.inspect(step, StepTrace(state, fleet.state, symbols, labels, raw, back.flow))
    accuracy = means(back.correct.double())
    clipped_norm = grad_norm if grads is raw else norms(grads)
    update_norm = norms(params - state.params)
    return StepMetrics(back.loss, accuracy, grad_norm, clipped_norm, update_norm, lr)


def test_step(fleet: Fleet, step: int) -> EvalMetrics:
    """Run a test pass, and pass the result to the schedule and the stopping rule.

    Args:
        fleet: the runs.
        step: the training step just before the test pass.
    """
    losses, accuracy = evaluate(fleet, step)
    fleet.judge(step, means(losses), accuracy)
    return EvalMetrics(losses, accuracy)
