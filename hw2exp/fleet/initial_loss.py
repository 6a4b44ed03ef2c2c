"""Check that training starts at ln 4, the loss of a network that knows nothing."""

import math

from hw2exp.records.metrics import INITIAL_ACCURACY, INITIAL_LOSS

LOSS_TOLERANCE = 0.1
FULL_SIZE = 16
"""Hidden size from which ``LOSS_TOLERANCE`` applies; see :func:`loss_above` for smaller sizes."""
ACCURACY_TOLERANCE = 0.25
"""Wide, because an untrained network may favor a class that correlates with its input. Over 1,024
seeds on EASY, the five models started at 0.05 to 0.43, while their losses stayed near ln 4."""


class InitialLossError(Exception):
    """The initial loss is far from ln 4, or the initial accuracy far from 0.25."""


def loss_above(hidden_size: int) -> float:
    """Return the tolerance of the initial loss above ln 4.

    torch draws the readout weights of H units uniformly from ±1/√H. So the variance of the logits
    scales as 1/H, and with it the excess of the loss over ln 4. In 1,000 starts of an Elman RNN
    with 4 units, the largest excess was 0.5, and 2 were above 0.4. For no size does a start lie
    more than 0.05 below ln 4.

    Args:
        hidden_size: units of the last state, H.
    """
    return LOSS_TOLERANCE * max(1.0, FULL_SIZE / hidden_size)


def check_initial(loss: float, accuracy: float, hidden_size: int) -> str | None:
    """Check the initial loss against ln 4 and the initial accuracy against 0.25.

    Args:
        loss: mean loss of a large fresh batch before the first step.
        accuracy: accuracy on the same batch.
        hidden_size: units of the last state, H.

    Returns:
        One line with the values and their usual cause, or None if both are fine.
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
    return f"{found}; this usually means: {meaning} (check_initial_loss=warn trains anyway)"
