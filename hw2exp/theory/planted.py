"""Count the spikes and explosions that the searches miss or invent in synthetic curves."""

import numpy as np

from hw2exp.diagnostics.explosions import explosions
from hw2exp.diagnostics.spikes import find_spikes


def planted_spikes() -> int:
    """Count the spikes missed or invented in a synthetic curve, noisy and falling."""
    noise = np.random.default_rng(7).standard_normal(1_000)
    curve = 1.4 * np.exp(-np.arange(1_000) / 300) + 0.03 * noise
    planted = {200, 500, 501, 700, 900}  # 500 and 501 are one spike
    curve[[step - 1 for step in planted]] += 1.0
    found = {spike.start for spike in find_spikes(curve, 51, 0.3, 6, 1.4)}
    return len(found ^ (planted - {501}))


def planted_norms() -> int:
    """Count the explosions missed or invented in synthetic gradient norms."""
    norms = np.exp(0.3 * np.random.default_rng(8).standard_normal((1_000, 2)))
    planted = {(100, 0), (400, 1), (401, 1), (900, 0)}
    for place in planted:
        norms[place] *= 100
    found = {(int(step), int(run)) for step, run in np.argwhere(explosions(norms))}
    return len(found ^ planted)
