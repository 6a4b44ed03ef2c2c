"""Choose the moments of a run at which interventions are tried: spikes, and as many quiet ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw2exp.diagnostics.spikes import GAP, running_median
from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.moments import MomentKind
from hw2exp.records.spike import Spike

MATCHED = 0.1
"""Largest relative difference of a quiet moment's running median from that of its spike."""


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Args:
        kind: its kind.
        number: the number of the spike, from 1; for a quiet moment, that of its spike; else 0.
        spike: the spike itself; for other moments, their steps and the running median before.
    """

    kind: MomentKind
    number: int
    spike: Spike

    @property
    def columns(self) -> tuple[str, int, int, int, float]:
        """Return the columns of ``MOMENT``, but for the lead."""
        return str(self.kind), self.number, self.spike.start, self.spike.end, self.spike.median


def choose_spikes(spikes: Sequence[Spike], leads: Sequence[int], most: int, seed: int) -> list[int]:
    """Return the numbers of spikes that come late enough for a lead; if too many, a random choice.

    Args:
        spikes: the run's spikes.
        leads: the numbers of steps before a moment from which branches are trained.
        most: the most spikes to return.
        seed: the run's seed.
    """
    numbers = [number for number, each in enumerate(spikes, 1) if each.start > min(leads)]
    if len(numbers) > most:
        chosen = np.random.default_rng([seed, 0]).choice(numbers, most, replace=False)
        numbers = sorted(map(int, chosen))
    return numbers


def quiet_moments(
    losses: Floats,
    spikes: Sequence[Spike],
    numbers: Sequence[int],
    apart: int,
    window: int,
    seed: int,
) -> list[Moment]:
    """Choose for each of some spikes a quiet moment, at the same stage of learning.

    A quiet moment is as long as its spike. No spike of the run and no divergence lies within
    ``apart`` steps of it, and its running median differs from the spike's by at most ``MATCHED``.
    It is drawn at random from all such stretches that overlap no other quiet moment. A spike
    without such a stretch has no quiet moment.

    Args:
        losses: the run's loss of each step, not finite after a divergence, ``(n,)``.
        spikes: all spikes of the run.
        numbers: the numbers of the spikes to match, from 1.
        apart: the least distance from a spike, in steps; at least ``GAP``.
        window: the number of steps of the running median.
        seed: the run's seed.
    """
    medians = running_median(losses[:, None], window)[:, 0]  # (n,)
    made = int(np.isfinite(losses).sum())
    apart = max(apart, GAP)
    loud = [(each.start - apart, each.end + apart) for each in spikes]
    loud += [(made + 1 - apart, made + 1)] * (made < len(losses))
    found = []
    for number in numbers:
        spike = spikes[number - 1]
        length = spike.end - spike.start
        first = np.arange(1, made - length + 1)
        free = first > apart
        for start, end in loud:
            free &= (first + length < start) | (first > end)
        near = np.abs(medians[: len(first)] - spike.median) <= MATCHED * spike.median
        if (free & near).any():
            generator = np.random.default_rng([seed, number])
            start = int(generator.choice(first[free & near]))
            loud.append((start, start + length))
            stretch = Spike(start, start, start + length, np.nan, float(medians[start - 1]), False)
            found.append(Moment(MomentKind.QUIET, number, stretch))
    return found
