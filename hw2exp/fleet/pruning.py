"""Prune a sweep: the arms of a fleet that are behind leave it early, each with all its seeds.

An arm is called a configuration in the papers: runs that differ only in the seed. Its loss is the
median of its runs' test losses, so seeds are never judged against each other. The arms of a fleet
are compared at its test passes, when all have made the same number of steps. So a decision depends
on the fleet's runs alone, not on the speed or the number of workers. Therefore fleets are formed
without regard to workers, see :mod:`hw2exp.sweeps.grouping`. Arms of different fleets, which differ
in the shape of their programs, are not compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hw2exp.config.groups import Prune
from hw2exp.config.knob import shared
from hw2exp.config.registry import register
from hw2exp.config.schema import TrainConfig
from hw2exp.system.lazy_numpy import Floats, Mask, Members, np


class Pruner(Protocol):
    """A rule that decides which replicas of a fleet leave early."""

    def begin(self, members: Members) -> None:
        """Note which members of the fleet train: others may have an error in place of a run."""
        return

    def behind(self, step: int, members: Members, losses: Floats, active: Mask) -> Mask:
        """Return which replicas leave at a test pass, ``(R,)``.

        Args:
            step: the step of the test pass.
            members: the place of each replica's config among those of the fleet, ``(R,)``.
            losses: the test losses, ``(R,)``.
            active: mask of the replicas that would train on, ``(R,)``.
        """


@register("prune", "none")
class NoPruning(Prune):
    """No arm leaves early."""


@register("prune", "asha")
class Halving(Prune):
    """Keep the best 1/η of the arms at the steps r, rη, rη², … (Li et al. 2020, arXiv:1810.05934).

    A rung is decided at its first test pass. In the paper, configurations reach a rung one by one,
    and each goes on when it is among the best 1/η so far. The arms of a fleet reach it together; in
    this case the rule is successive halving (Jamieson & Talwalkar 2016).
    """

    first_rung: int = shared("step of the first rung, r", ge=1)
    reduction: int = shared("η: at each rung the best 1/η of the arms stay", ge=2)

    def contradictions(self, config: Any) -> list[str]:
        """Return the problem of a first rung that no test pass can decide."""
        return _undecided("first_rung", self.first_rung, config)

    def behind(self, steps: Sequence[int], losses: Floats, competing: Mask) -> Mask:
        """Return a mask of the arms that leave: at a rung, all but the best ``max(1, n // η)``.

        Args:
            steps: the steps of the test passes so far.
            losses: the loss of each arm at each of them, NaN for arms that have left,
                ``(passes, arms)``.
            competing: mask of the arms that have not left, ``(arms,)``.
        """
        before, step = (0, *steps)[-2:]
        rung = self.first_rung
        while rung <= before:
            rung *= self.reduction
        if step < rung:
            return np.zeros_like(competing)
        kept = max(1, int(competing.sum()) // self.reduction)
        order = np.argsort(np.where(competing, losses[-1], np.inf), kind="stable")
        best = [arm for arm in order if competing[arm]][:kept]
        behind: Mask = competing & ~np.isin(np.arange(len(competing)), best)
        return behind


@register("prune", "median")
class MedianStopping(Prune):
    """Stop an arm that is behind the median of all (Golovin et al. 2017, section 3.2.2).

    At a test pass an arm leaves if its best loss so far is worse than the median, over the arms of
    the fleet, of each one's mean loss so far. An arm that has left keeps its mean.
    """

    warmup: int = shared("first step at which an arm may leave", ge=1)
    least_arms: int = shared("fewest arms of a fleet that are compared", ge=2)

    def contradictions(self, config: Any) -> list[str]:
        """Return the problem of a warm-up that no test pass can follow."""
        return _undecided("warmup", self.warmup, config)

    def behind(self, steps: Sequence[int], losses: Floats, competing: Mask) -> Mask:
        """Return a mask of the arms that leave, see :meth:`Halving.behind`."""
        known = ~np.isnan(losses).all(0)
        if steps[-1] < self.warmup or known.sum() < self.least_arms:
            return np.zeros_like(competing)
        middle = np.median(np.nanmean(losses[:, known], 0))
        behind: Mask = competing & (np.fmin.reduce(losses) > middle)
        return behind


def _undecided(key: str, first: int, config: Any) -> list[str]:
    """Return the problem of a rule that would never decide: no test pass comes in time."""
    name, every = config.prune.name, config.eval_every
    last = (config.steps - 1) // every * every  # at the last step nothing is left to save
    if first <= last:
        return []
    why = f"the last test pass before step {config.steps} is at step {last}"
    if not last:
        why = f"eval_every={every} leaves no test pass before the last step, {config.steps}"
    return [f"prune.{key}={first}: prune={name} would never decide; {why}"]


@dataclass(frozen=True)
class PastLosses:
    """The test losses of a run that an earlier process trained.

    Args:
        losses: the loss of each test pass, by step.
        diverged: whether the run diverged after them.
    """

    losses: Mapping[int, float]
    diverged: bool = False

    def at(self, step: int) -> float:
        """Return the loss at a test pass; for a run that had left, its last one, or ∞."""
        if step not in self.losses and (self.diverged or not self.losses):
            return np.inf
        loss = self.losses.get(step, self.losses[max(self.losses)])
        return np.inf if np.isnan(loss) else loss


class Pruning(Pruner):
    """The comparison of a fleet's arms, from its first test pass on.

    A run that solved its task and left keeps its last loss; one that diverged has ∞; one that could
    not train does not count.

    Args:
        configs: the config of each run that is compared, including runs that have ended already.
        places: the place of each config of the fleet in ``configs``; None: the fleet has them all.
        past: the losses of runs that an earlier process trained, by place.
        step: the step that the fleet resumes from; decisions up to it are made again.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        places: Sequence[int] | None = None,
        past: Mapping[int, PastLosses] | None = None,
        step: int = 0,
    ) -> None:
        self.rule: Any = configs[0].prune
        from hw2exp.records.arms import arm_numbers  # lazily: its libraries load slowly

        self.arms = np.array(arm_numbers(configs))
        self.places = np.arange(len(configs)) if places is None else np.array(places)
        self._past = dict(past or {})
        self._out: Mask = np.zeros(self.arms.max() + 1, dtype=np.bool_)
        self._steps: list[int] = []
        self._losses: list[Floats] = []  # of each arm, at each test pass
        self._last = np.full(len(configs), np.nan)  # of the runs that this process trains
        self._kept: Mask = np.zeros(len(configs), dtype=np.bool_)  # those that left with their last
        every = configs[0].eval_every
        for passed in range(every, step + 1, every):
            self._decide(passed, self._row(passed))

    def begin(self, members: Members) -> None:
        """Note which members of the fleet train: others may have an error in place of a run."""
        self._last[self.places[members]] = np.inf
        for place in self.places:
            self._past.pop(int(place), None)

    def behind(self, step: int, members: Members, losses: Floats, active: Mask) -> Mask:
        """Return which replicas leave at a test pass, see :class:`Pruner`."""
        places, row = self.places[members], self._row(step)
        row[places] = np.where(np.isnan(losses), np.inf, losses)
        self._last, self._kept[places] = row, ~active
        behind: Mask = self._decide(step, row)[places] & active
        return behind

    def _row(self, step: int) -> Floats:
        """Return each run's loss at a test pass, as far as it is known without this pass."""
        row = np.where(self._kept | np.isnan(self._last), self._last, np.inf)
        for place, own in self._past.items():
            row[place] = own.at(step)
        return row

    def _decide(self, step: int, row: Floats) -> Mask:
        """Return a mask of the runs whose arms leave."""
        arms = np.full(len(self._out), np.nan)
        for arm in np.flatnonzero(~self._out):
            own = row[self.arms == arm]
            if not np.isnan(own).all():
                arms[arm] = np.nanmedian(own)
        self._steps.append(step)
        self._losses.append(arms)
        behind: Mask = self.rule.behind(self._steps, np.stack(self._losses), ~np.isnan(arms))
        self._out |= behind
        return np.take(behind, self.arms)


@dataclass(frozen=True)
class KnownEnd(Pruner):
    """The pruning of a single run that is made again: it leaves at the recorded step.

    Args:
        step: the step at which the run was pruned; None: never.
    """

    step: int | None

    def behind(self, step: int, members: Members, losses: Floats, active: Mask) -> Mask:
        """Return whether the run leaves, see :class:`Pruner`."""
        return active if step == self.step else np.zeros_like(active)
