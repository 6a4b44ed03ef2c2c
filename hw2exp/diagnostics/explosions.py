"""What an exploding gradient is, as seen in its norm from step to step.

**Definition.** A step's gradient has exploded if its norm, before clipping, exceeds `factor` times
the running median of the norms of the `window` steps before it. A norm that is not finite has.
"""

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.spikes import Floats, running_median

Flags = NDArray[np.bool_]

WINDOW = 51
FACTOR = 10.0


def explosions(norms: Floats, window: int = WINDOW, factor: float = FACTOR) -> Flags:
    """Find the steps whose gradient has exploded, ``(n, R)``.

    Args:
        norms: the gradient norm of every step, ``(n, R)``.
        window: steps of the running median.
        factor: how many times it.
    """
    with np.errstate(invalid="ignore"):
        exploded = norms > factor * running_median(norms, window)
    return np.asarray(exploded | ~np.isfinite(norms))


def within(flags: Flags, steps: int) -> Flags:
    """Whether at one of the steps before there was a flag; the step itself doesn't count.

    Args:
        flags: ``(n, R)``.
        steps: how far before.
    """
    found = np.zeros_like(flags)
    for back in range(1, min(steps, len(flags) - 1) + 1):
        found[back:] |= flags[:-back]
    return found
