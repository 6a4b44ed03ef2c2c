"""Which arms leave: each rule against a plain second form, and what a fleet is told."""

from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.fleet.pruning import Halving, MedianStopping, PastLosses, Pruning

EVERY = 10


def rule(name, **knobs):
    kind = {"asha": Halving, "median": MedianStopping}[name]
    return kind(name=name, **knobs)


def halved(curves, r, eta):
    """Return the step at which each arm leaves by successive halving, as it is told in words."""
    left, rungs = {}, {r * eta**k for k in range(20)}
    for n in range(len(curves[0])):
        before, step = EVERY * n, EVERY * (n + 1)
        if any(before < rung <= step for rung in rungs):
            there = [arm for arm in range(len(curves)) if arm not in left]
            ranked = sorted(there, key=lambda arm: (curves[arm][n], arm))
            left |= dict.fromkeys(ranked[max(1, len(there) // eta) :], step)
    return left


def stopped(curves, warmup, least):
    """Return the step at which each arm leaves by median stopping, as it is told in words."""
    left, means = {}, {}
    for n in range(len(curves[0])):
        step = EVERY * (n + 1)
        for arm, curve in enumerate(curves):
            if arm not in left:
                means[arm] = mean(curve[: n + 1])
        if step >= warmup and len(curves) >= least:
            middle = median(means.values())
            there = [arm for arm in range(len(curves)) if arm not in left]
            left |= {arm: step for arm in there if min(curves[arm][: n + 1]) > middle}
    return left


class Told:
    """Plays the test losses of runs to a ``Pruning``, as a fleet would; notes who left when."""

    def __init__(self, compose, own_rule, curves, seeds=1, **resumed):
        self.curves = [curve for curve in curves for _ in range(seeds)]
        configs = [
            compose("task=easy", f"eval_every={EVERY}").model_copy(
                update={"prune": own_rule, "batch_size": arm + 1, "seed": seed}
            )
            for arm in range(len(curves))
            for seed in range(seeds)
        ]
        self.pruning = Pruning(configs, **resumed)
        self.left = {}

    def play(self, members, first=0, gone=()):
        members = np.array(members)
        if first == 0:
            self.pruning.begin(members)
        for n in range(first, len(self.curves[0])):
            members = np.array([m for m in members if m not in self.left and (n, m) not in gone])
            losses = np.array([self.curves[m][n] for m in members], dtype=float)
            behind = self.pruning.behind(EVERY * (n + 1), members, losses, losses < np.inf)
            self.left |= dict.fromkeys(members[behind].tolist(), EVERY * (n + 1))
        return self.left


CURVES = st.integers(2, 9).flatmap(
    lambda passes: st.lists(
        st.lists(st.integers(0, 1000).map(float), min_size=passes, max_size=passes),
        min_size=2,
        max_size=12,
    )
)


@given(curves=CURVES, r=st.integers(1, 40), eta=st.integers(2, 4))
@settings(max_examples=25)
def test_halving_is_as_told_in_words(compose, curves, r, eta):
    told = Told(compose, rule("asha", first_rung=r, reduction=eta), curves)
    assert told.play(range(len(curves))) == halved(curves, r, eta)
    assert len(told.left) < len(curves)


@given(curves=CURVES, warmup=st.integers(1, 60), least=st.integers(2, 4))
@settings(max_examples=25)
def test_median_stopping_is_as_told_in_words(compose, curves, warmup, least):
    told = Told(compose, rule("median", warmup=warmup, least_arms=least), curves)
    assert told.play(range(len(curves))) == stopped(curves, warmup, least)
    assert len(told.left) < len(curves)


def test_known_arms_leave_at_known_rungs(compose):
    told = Told(compose, rule("asha", first_rung=20, reduction=3), [[9 - n] * 8 for n in range(9)])
    assert told.play(range(9)) == {**dict.fromkeys(range(6), 20), 6: 60, 7: 60}


def test_an_arm_leaves_with_all_its_seeds_or_stays_with_them(compose):
    # The first arm has the worst run of all, and the second the best; medians decide.
    curves = [[1.0], [5.0]]
    told = Told(compose, rule("asha", first_rung=1, reduction=2), curves, seeds=3)
    told.curves[0], told.curves[5] = [99.0], [0.5]
    assert told.play(range(6)) == dict.fromkeys((3, 4, 5), EVERY)


def test_who_diverged_is_behind_and_who_solved_keeps_its_loss(compose):
    curves = [[3.0, 3.0], [np.inf, np.inf], [2.0, 9.0], [1.0, 1.0]]
    asha = rule("asha", first_rung=20, reduction=2)
    # 2 has solved at the first pass and left with its loss there; 1 diverged before any pass.
    told = Told(compose, asha, curves)
    told.pruning.begin(np.arange(4))
    one = told.pruning.behind(
        10, np.array([0, 2, 3]), np.array([3.0, 2.0, 1.0]), np.array([True, False, True])
    )
    two = told.pruning.behind(20, np.array([0, 3]), np.array([3.0, 1.0]), np.array([True, True]))
    assert (one.tolist(), two.tolist()) == ([False] * 3, [True, False])  # 2 and 3 stay


def test_who_could_not_train_does_not_count(compose):
    asha = rule("asha", first_rung=10, reduction=2)
    assert Told(compose, asha, [[1.0], [2.0], [3.0], [4.0]]).play([1, 2, 3]) == {2: 10, 3: 10}


@pytest.mark.parametrize("name", ["asha", "median"])
def test_decisions_are_the_same_after_a_resumption(compose, name):
    knobs = {"asha": {"first_rung": 10, "reduction": 2}, "median": {"warmup": 1, "least_arms": 2}}
    drawn = np.random.default_rng(0)
    for _ in range(20):
        curves = np.cumprod(drawn.uniform(0.7, 1.1, (9, 8)), 1).tolist()
        whole = Told(compose, rule(name, **knobs[name]), curves).play(range(9))
        step = 3 * EVERY
        passes = [EVERY * (n + 1) for n in range(8)]
        # Who has left by step 50 is known to its end; the others resume at step 30.
        ended = {m for m in range(9) if whole.get(m, 99) <= 50}
        ends = {m: whole[m] if m in ended else step for m in range(9)}
        past = {
            m: PastLosses({s: loss for s, loss in zip(passes, curve, strict=True) if s <= ends[m]})
            for m, curve in enumerate(curves)
        }
        rest = [m for m in range(9) if m not in ended]
        told = Told(compose, rule(name, **knobs[name]), curves, places=rest, past=past, step=step)
        told.curves = [curves[m] for m in rest]
        told.pruning.begin(np.arange(len(rest)))
        again = told.play(range(len(rest)), first=3)
        assert {rest[m]: at for m, at in again.items()} == {
            m: at for m, at in whole.items() if m not in ended
        }
