"""Measure how a gradient flows back through time: the size and growth of ∂ℓ/∂h[t]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.statistics import Floats

FEWEST = 3
"""Fewest points to fit a line to."""


def logarithms(flow: Floats) -> Floats:
    """Return ln ‖∂ℓ/∂h[t]‖ of norms ``(R, T)``, NaN where the norm is zero or not finite."""
    known = (flow > 0) & np.isfinite(flow)
    return np.log(np.where(known, flow, np.nan))


def growth(flow: Floats) -> tuple[Floats, Floats]:
    """Return the growth factor of a gradient for each time step back, and R² of the fit.

    A line is fitted to ln ‖∂ℓ/∂h[t]‖ against T - t. The factor is e to the slope: above one if the
    gradient explodes on its way back, below one if it vanishes (Pascanu, Mikolov & Bengio 2013,
    eq. 5-7).

    Args:
        flow: ‖∂ℓ/∂h[t]‖ for t = 1…T, ``(R, T)``.

    Returns:
        Factor and R², each ``(R,)``.
    """
    return fitted_factors(logarithms(flow)[:, ::-1])


def fitted_factors(logarithms: Floats, fewest: int = FEWEST) -> tuple[Floats, Floats]:
    """Fit a line to each row, by least squares.

    Args:
        logarithms: values at 0, 1, 2, …, ``(R, n)``; non-finite values are left out.
        fewest: the least number of finite values.

    Returns:
        e to the slope, and R², each ``(R,)``; NaN for too few values, and R² is NaN for values
        that don't vary.
    """
    known = np.isfinite(logarithms)
    count = known.sum(1)
    place = np.broadcast_to(np.arange(logarithms.shape[1], dtype=float), logarithms.shape)
    value = np.where(known, logarithms, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = _centered(place, known, count)
        y = _centered(value, known, count)
        xx, xy, yy = (_sums(a * b) for a, b in ((x, x), (x, y), (y, y)))
        slope, r2 = xy / xx, xy**2 / (xx * yy)
    enough = count >= fewest
    with np.errstate(over="ignore"):
        return np.where(enough, np.exp(slope), np.nan), np.where(enough, r2, np.nan)


def _centered(values: Floats, known: NDArray[np.bool_], count: Any) -> Floats:
    mean = _sums(np.where(known, values, 0)) / count
    return np.where(known, values - mean[:, None], 0)


def _sums(rows: Floats) -> Floats:
    # Sum contiguous rows, so that the order doesn't depend on the number of rows.
    return np.asarray(np.ascontiguousarray(rows).sum(1))
