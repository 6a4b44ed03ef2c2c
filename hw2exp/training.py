"""The training loop, for a fleet of any size; a single run is a fleet of one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

from torch import Tensor

from hw2exp.axes import norms
from hw2exp.fleet import Fleet
from hw2exp.fleet_state import FleetState
from hw2exp.task import CLASSES, TRAIN

INITIAL_LOSS = math.log(len(CLASSES))
"""ln 4: the cross-entropy of a uniform guess among four classes (write-up, part 1.3 d)."""

INITIAL_ACCURACY = 1 / len(CLASSES)
LOSS_TOLERANCE = 0.1
FULL_SIZE = 16
"""Units from which on ``LOSS_TOLERANCE`` holds as it is; below it grows as 1/H, see there."""
ACCURACY_TOLERANCE = 0.25
"""Wide: an untrained network may favor a class that comes with what it sees; over 1,024 seeds the
five models began on EASY with 0.05 to 0.43, while their losses stayed near ln 4."""


@dataclass(frozen=True)
class Measured:
    """What one training step measured of the replicas that took part, each ``(R,)``.

    Args:
        loss: mean loss of the batch, before the update.
        accuracy: share of the batch classified right.
        grad_norm_raw: norm of a replica's whole gradient; all norms are in float64.
        grad_norm_clipped: the same after clipping.
        update_norm: norm of the step that a replica's parameters make.
        lr: the scheduled learning rate.
    """

    loss: Tensor
    accuracy: Tensor
    grad_norm_raw: Tensor
    grad_norm_clipped: Tensor
    update_norm: Tensor
    lr: Tensor

    def take(self, rows: Tensor) -> "Measured":
        """What was measured of some of the replicas.

        Args:
            rows: a mask ``(R,)``.
        """
        return Measured(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Tested:
    """What one test pass measured.

    Args:
        losses: each test batch's loss, ``(R, batches)``.
        accuracy: over the whole pass, ``(R,)``.
    """

    losses: Tensor
    accuracy: Tensor


class Observer(Protocol):
    """Whoever watches the loop; it takes values and gives none back."""

    def observe(self, step: int, measured: Measured, tested: Tested | None) -> None:
        """Take note of a step, and of the test pass after it if there was one."""


@dataclass(frozen=True)
class Made:
    """What a step had to compute on its way, for whoever wants to see why; nothing is copied.

    Args:
        before: the state that it began with.
        after: the state that it led to; the same of a replica that it has frozen.
        symbols: of its batch, ``(R, B, T)``.
        labels: ``(R, B)``.
        grads: the gradient before clipping, in rows ``(R, P)``.
        flow: ‖∂ℓ/∂h[t]‖ over the batch, for t = 1…T, ``(R, T)``, if it was wanted.
    """

    before: FleetState
    after: FleetState
    symbols: Tensor
    labels: Tensor
    grads: Tensor
    flow: Tensor | None


class Inspector(Protocol):
    """Whoever looks into the steps; it changes nothing."""

    def wants_flow(self, step: int) -> bool:
        """Whether a step is to say how the gradient flows through time."""

    def inspect(self, step: int, made: Made) -> None:
        """Look into a step that was made."""


class InitialLossError(Exception):
    """Training would not start at loss ln 4 and accuracy 0.25."""


def train(
    fleet: Fleet,
    observers: Sequence[Observer],
    after: Callable[[int], bool] = lambda step: False,
    first: int = 1,
    inspector: Inspector | None = None,
) -> None:
    """Train until the last step, or until no replica is left, or until it is ended from outside.

    A replica that has diverged, or solved the task where that is the end, leaves the fleet.

    Args:
        fleet: the runs.
        observers: whom to tell of every step.
        after: called after every step but the last, to save what there is; says whether to end.
        first: the step to begin with.
        inspector: looks into every step before the observers are told of it.
    """
    config = fleet.config
    for step in range(first, config.steps + 1):
        measured = train_step(fleet, step, inspector)
        last = step == config.steps
        tested = test_step(fleet, step) if last or step % config.eval_every == 0 else None
        for observer in observers:
            observer.observe(step, measured, tested)
        over = ~fleet.state.active
        if last or bool(over.all()):
            break
        if bool(over.any()):
            fleet.leave(over)
        if after(step):
            break


def train_step(fleet: Fleet, step: int, inspector: Inspector | None = None) -> Measured:
    """Make one step with every replica.

    Args:
        fleet: the runs.
        step: counted from 1.
        inspector: looks into it.
    """
    state = fleet.state
    symbols, labels = fleet.batch(step, TRAIN, fleet.config.batch_size)  # (R, B, T), (R, B)
    keeps_flow = inspector is not None and inspector.wants_flow(step)
    raw, back = fleet.loss_and_gradient(symbols, labels, keeps_flow)  # raw (R, P)
    norm = norms(raw)  # (R,)
    grads, clip_state = fleet.clip.update(raw, norm, state.clip)
    lr = fleet.optimizer.lr * fleet.schedule.factor(step - 1, state.schedule)  # (R,)
    params, optimizer_state = fleet.optimizer.update(state.params, grads, state.optimizer, lr)
    proposed = replace(state, params=params, optimizer=optimizer_state, clip=clip_state)
    fleet.advance(step, back.loss, norm, proposed)
    if inspector is not None:
        inspector.inspect(step, Made(state, fleet.state, symbols, labels, raw, back.flow))
    accuracy = back.correct.double().mean(1)
    clipped_norm = norm if grads is raw else norms(grads)
    update_norm = norms(params - state.params)
    return Measured(back.loss, accuracy, norm, clipped_norm, update_norm, lr)


def test_step(fleet: Fleet, step: int) -> Tested:
    """Make a test pass, and let schedule and stopping rule see it.

    Args:
        fleet: the runs.
        step: the training step after which the pass comes.
    """
    losses, accuracy = fleet.test(step)
    fleet.judge(step, losses.mean(1), accuracy)
    return Tested(losses, accuracy)


def loss_above(hidden_size: int) -> float:
    """Return how far above ln 4 a sound start may lie.

    torch draws the readout of H units from ±1/√H, so that the logits' variance, and with it what
    the loss exceeds ln 4 by, goes as 1/H: with 4 units in the largest of 1,000 starts of an Elman
    RNN by 0.5, in 2 of them by more than 0.4. Below ln 4 no size starts by more than 0.05.

    Args:
        hidden_size: units that the readout reads, H.
    """
    return LOSS_TOLERANCE * max(1.0, FULL_SIZE / hidden_size)


def check_initial(loss: float, accuracy: float, hidden_size: int) -> str | None:
    """Say what is wrong if training would not start at loss ln 4 and accuracy 0.25.

    Args:
        loss: mean loss of a large fresh batch before the first step.
        accuracy: its accuracy.
        hidden_size: units that the readout reads, H.

    Returns:
        One line that says what was found and what it usually means, or nothing.
    """
    above = loss_above(hidden_size)
    off_loss = not -LOSS_TOLERANCE <= loss - INITIAL_LOSS <= above
    off_accuracy = not abs(accuracy - INITIAL_ACCURACY) <= ACCURACY_TOLERANCE
    if not (off_loss or off_accuracy):
        return None
    found = (
        f"initial loss {loss:.4f}, accuracy {accuracy:.3f}: expected "
        f"{INITIAL_LOSS - LOSS_TOLERANCE:.4f} to {INITIAL_LOSS + above:.4f} and "
        f"{INITIAL_ACCURACY} ± {ACCURACY_TOLERANCE}"
    )
    if loss > INITIAL_LOSS + above:
        meaning = "the logits start too large; lower init.readout_scale"
    elif off_loss and math.isfinite(loss):
        meaning = (
            "the model knows the labels before training; is the check reading trained weights?"
        )
    elif off_loss:
        meaning = "the forward pass overflows; lower init.scale"
    else:
        meaning = "the classes are unbalanced, or the labels leak into the input"
    return f"{found}; this usually means: {meaning} (check_initial_loss=warn goes on anyway)"
