"""Choose the moments of a run at which interventions are tried: spikes, and as many quiet ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.spikes import running_median
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
        number: the number of the spike, from 1; of a quiet moment, that of its spike; else 0.
        spike: the stretch of steps and the running median before it; of a spike, the spike itself.
    """

    kind: MomentKind
    number: int
    spike: Spike

    @property
    def columns(self) -> tuple[str, int, int, int, float]:
        """Return the columns of ``MOMENT``, but for the lead."""
        return str(self.kind), self.number, self.spike.start, self.spike.end, self.spike.median


def choose_spikes(spikes: Sequence[Spike], leads: Sequence[int], most: int, seed: int) -> list[int]:
    """Return the numbers of spikes that come late enough for a lead; of more, a random choice.

    Args:
        spikes: the run's spikes.
        leads: the numbers of steps before a moment from which branches are trained.
        most: most spikes.
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

    A quiet moment is as long as its spike, no spike of the run lies within ``apart`` steps of it,
    and its running median differs from the spike's by at most ``MATCHED``. Among those steps it is
    drawn at random. A spike without such a step has no quiet moment.

    Args:
        losses: the run's loss of each step, ``(n,)``.
        spikes: all spikes of the run.
        numbers: the numbers of the spikes to match, from 1.
        apart: the least distance from a spike, in steps.
        window: the number of steps of the running median.
        seed: the run's seed.
    """
    medians = running_median(losses[:, None], window)[:, 0]  # (n,)
    steps = np.arange(1, len(losses) + 1)
    taken: set[int] = set()
    found = []
    for number in numbers:
        spike = spikes[number - 1]
        length = spike.end - spike.start
        free = (
            _free(steps, length, spikes, apart) & (steps > apart) & (steps + length <= len(losses))
        )
        near = np.abs(medians - spike.median) <= MATCHED * spike.median
        starts = [step for step in steps[free & near].tolist() if step not in taken]
        if starts:
            start = int(np.random.default_rng([seed, number]).choice(starts))
            taken.add(start)
            stretch = Spike(start, start, start + length, np.nan, float(medians[start - 1]), False)
            found.append(Moment(MomentKind.QUIET, number, stretch))
    return found


def _free(
    steps: NDArray[np.int64], length: int, spikes: Sequence[Spike], apart: int
) -> NDArray[np.bool_]:
    """Return whether a stretch that starts at a step is far from all spikes."""
    free = np.ones(len(steps), dtype=bool)
    for each in spikes:
        free &= (steps + length + apart < each.start) | (steps - apart > each.end)
    return free
