"""Measure how much the loss depends on the choice of the learning rate."""

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.statistics import Floats


def rate_sensitivity(losses: ArrayLike, initial: ArrayLike) -> Floats:
    """Return the learning-rate sensitivity of each seed (Wortsman et al. 2023, arXiv:2309.14322).

    It is E_η[min(ℓ(η), ℓ₀) − ℓ*] with ℓ* = min_η ℓ(η): how far the final loss exceeds that at the
    best rate, as a mean over learning rates η. No loss counts as more than ℓ₀, the one at
    initialization. Only arms that were tried at the same rates compare. The best loss is limited
    too: where no rate gets below ℓ₀, the sensitivity is 0.

    Args:
        losses: the final loss at each rate, ``(rates, S)``; infinite for diverged runs.
        initial: the loss at initialization at each rate, ``(rates, S)``.

    Returns:
        The sensitivity, ``(S,)``.
    """
    limited = np.minimum(np.asarray(losses, float), np.asarray(initial, float))
    return np.asarray(limited.mean(0) - limited.min(0))
