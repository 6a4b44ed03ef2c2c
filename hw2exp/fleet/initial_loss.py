"""Check that training starts at ln C, the loss of a network that knows nothing: ln 4 for ours."""

import math

import numpy as np
from numpy.typing import ArrayLike

LOSS_TOLERANCE = 0.1
FULL_SIZE = 16
"""Hidden size from which ``LOSS_TOLERANCE`` applies; see :func:`loss_above` for smaller sizes."""
ACCURACY_TOLERANCE = 0.25
"""Wide, because an untrained network may favor a class that correlates with its input. Over 1,024
seeds on EASY, the five models started at 0.05 to 0.43, while their losses stayed near ln 4."""


DEVIATIONS = 7.0
"""Standard deviations that a class's share may be off 1/C. Of balanced draws, one in 10¹¹ is
farther off; at five deviations it would be one in 440,000 runs, and sweeps have a million."""


class InitialLossError(Exception):
    """The initial loss is far from ln C, or the initial accuracy far from 1/C, for C classes."""


def loss_above(hidden_size: int) -> float:
    """Return the tolerance of the initial loss above ln 4.

    torch draws the readout weights of H units uniformly from ±1/√H. So the variance of the logits
    scales as 1/H, and so does the excess of the loss over ln 4. In 1,000 starts of an Elman RNN
    with 4 units, the largest excess was 0.5, and 2 were above 0.4. At no size was a start more than
    0.05 below ln 4.

    Args:
        hidden_size: units of the last state, H.
    """
    return LOSS_TOLERANCE * max(1.0, FULL_SIZE / hidden_size)


def check_initial(loss: float, accuracy: float, hidden_size: int, classes: int = 4) -> str | None:
    """Check the initial loss against ln C and the initial accuracy against 1/C.

    Args:
        loss: mean loss of a large fresh batch before the first step.
        accuracy: accuracy on the same batch.
        hidden_size: units of the last state, H.
        classes: the number of classes, C.

    Returns:
        One line with the values and their usual cause, or None if both are fine.
    """
    above = loss_above(hidden_size)
    expected, chance = math.log(classes), 1 / classes
    off_loss = not -LOSS_TOLERANCE <= loss - expected <= above
    off_accuracy = not abs(accuracy - chance) <= ACCURACY_TOLERANCE
    if not (off_loss or off_accuracy):
        return None
    found = (
        f"initial loss {loss:.4f}, accuracy {accuracy:.3f}: expected "
        f"{expected - LOSS_TOLERANCE:.4f} to {expected + above:.4f} and "
        f"{chance:.3g} ± {ACCURACY_TOLERANCE}"
    )
    if loss > expected + above:
        meaning = "the logits start too large; lower init.readout_scale"
    elif off_loss and math.isfinite(loss):
        meaning = (
            "the model knows the labels before training; is the check reading trained weights?"
        )
    elif off_loss:
        meaning = "the forward pass overflows; lower init.scale"
    else:
        meaning = "the classes are unbalanced, or the labels leak into the input"
    return f"{found}; this usually means: {meaning} (check_initial_loss=warn trains anyway)"


def check_balance(shares: ArrayLike, sequences: int) -> str | None:
    """Check that each class is drawn equally often.

    Args:
        shares: the share of each class in a batch, ``(C,)``.
        sequences: the number of sequences in the batch.

    Returns:
        A line about the class that is farthest off, or None if all are fine.
    """
    found = np.asarray(shares, float)
    chance = 1 / len(found)
    allowed = DEVIATIONS * math.sqrt(chance * (1 - chance) / sequences)
    worst = int(np.abs(found - chance).argmax())
    if abs(found[worst] - chance) <= allowed:
        return None
    return (
        f"the task's classes are unbalanced: class {worst} has {100 * found[worst]:.1f} % of "
        f"the labels, expected {100 * chance:.1f} ± {100 * allowed:.1f} % "
        "(check_initial_loss=warn trains anyway)"
    )
