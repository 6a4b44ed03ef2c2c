"""Measure whether several measures rank arms alike."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.statistics import Estimate, Floats, bootstrapped


def rank_correlations(measures: Mapping[str, ArrayLike]) -> dict[tuple[str, str], Estimate]:
    """Return Spearman's rank correlation of each pair of measures over arms.

    Equal values share their mean rank. The interval is a bootstrap over arms: it shows how much
    another choice of arms could change the correlation. A resample in which a measure has a single
    value counts as the correlation of all arms.

    Args:
        measures: the values of each measure, ``(A,)``, of which two or more differ; infinite values
            are allowed.
    """
    known = {name: np.asarray(values, float) for name, values in measures.items()}
    every = np.arange(min(map(len, known.values()), default=0))
    ranked: dict[tuple[str, int], Floats] = {}

    def ranks(name: str, rows: Any) -> Floats:
        """Return the ranks in each resample, with mean 0 and length 1; bootstraps share theirs."""
        if (name, rows.ndim) not in ranked:
            ranked[name, rows.ndim] = _unit_ranks(known[name][rows])
        return ranked[name, rows.ndim]

    found = {}
    for one, other in combinations(known, 2):

        def of(rows: Any, one: str = one, other: str = other) -> Any:
            correlation = np.einsum("...a,...a->...", ranks(one, rows), ranks(other, rows))
            alike = np.isnan(correlation)
            return np.where(alike, of(every), correlation) if alike.any() else correlation

        found[one, other] = bootstrapped(of, len(every))
    return found


def _unit_ranks(values: Floats) -> Floats:
    """Return the ranks along the last axis with mean 0 and length 1; NaN if all are equal."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(ranks / np.sqrt((ranks**2).sum(-1, keepdims=True)))
