"""Part 1.2.1 (d): does the gated RNN's gradient vanish, does it explode; measured."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from hw2exp.theory.answer import Answer, Check, Verdict
from hw2exp.theory.answers import gated_rnn
from hw2exp.theory.answers.deviation import deviation
from hw2exp.theory.reach import (
    EXPLODED,
    MODELS,
    SEEDS,
    VANISHED,
    Reach,
    after_training,
    at_initialization,
    draw_reach,
)

COMMAND = (
    "python -m hw2exp.train -m experiment=gradient_reach "
    f"model={','.join(MODELS)} 'seed=range(0,{SEEDS})'"
)
HEADING = f"{'':<12} {'rate [95 %]':<20} {'lag 100':<8} {'vanish':>6} {'explode':>7} {'solved':>6}"
"""Medians over the runs of the factor a step, fitted, and of the norm at the longest lag; runs."""
GATED, OTHERS = "gated_rnn", ("rnn", "lstm")


def d(runs: Path | None = None) -> Answer:
    """The claim that it does not vanish, and is more likely to explode.

    Args:
        runs: the folder of a sweep by ``COMMAND``; without it only untrained networks are measured.

    Raises:
        ConfigError: the folder doesn't hold what is needed.
    """
    states = measure(runs)
    numbers = [
        line
        for state, found in states.items()
        for line in (f"{state}:", HEADING, *map(describe, found.values()))
    ]
    if runs is None:
        numbers += ["after training: not measured; make the runs by", f"  {COMMAND}", "and show "
                    "them by --runs and their folder"]  # fmt: skip
    verdict, because = decide(states)
    return Answer(
        "1.2.1 (d)",
        "Is the gated RNN subject to vanishing or exploding gradients?",
        "not subject to vanishing, as part of the gradient of h[t−1] goes past the sigmoid through "
        "c[t] ⊙ h[t−1]; but more likely to explode",
        "∂h[t]/∂h[t−1] = diag(c) + diag((h[t−1] − W_x x) ⊙ c ⊙ (1 − c)) W_h: what goes past is "
        "multiplied by c < 1 at every step",
        [Check("the product of closed-form ∂h[t]/∂h[t−1] = autograd through time", chain_error())],
        verdict,
        because,
        numbers,
        {"gradient_reach.svg": partial(draw_reach, states)},
    )


def measure(runs: Path | None) -> dict[str, dict[str, Reach]]:
    """Measure by the state of training.

    Args:
        runs: the folder of a sweep, or nothing.

    Raises:
        ConfigError: the folder doesn't hold what is needed.
    """
    states = {"at initialization": at_initialization()}
    if runs is not None:
        states["after training"] = after_training(runs)
    return states


def describe(reach: Reach) -> str:
    """A line of what was measured of a model.

    Args:
        reach: the measurement.
    """
    from scipy.stats import quantile_test

    rates = reach.rates()
    known = rates[np.isfinite(rates)]
    rate = "none"
    if len(known) > 5:
        interval = quantile_test(known, p=0.5).confidence_interval(0.95)
        rate = f"{np.median(known):.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    runs = len(rates)
    vanished, exploded, solved = (
        "–" if count is None else f"{count}/{runs}"
        for count in (reach.vanished(), reach.exploded(), reach.solved)
    )
    left = f"10^{np.median(reach.logarithms[:, -1]) / np.log(10):.1f}"
    return f"{reach.model:<12} {rate:<20} {left:<8} {vanished:>6} {exploded:>7} {solved:>6}"


def decide(states: Mapping[str, Mapping[str, Reach]]) -> tuple[Verdict, str]:
    """Decide both halves of the claim in every state, and say what decided.

    Not subject to vanishing: with 95 % confidence fewer than half of the runs' gradients vanish.
    More likely to explode: more runs do than of the Elman RNN and of the LSTM, by Fisher's exact
    test at 0.05.

    Args:
        states: what was measured, by the state's name.
    """
    from scipy.stats import binomtest, fisher_exact

    halves, reasons = [], []
    for state, found in states.items():
        if GATED not in found:
            continue
        gated, others = found[GATED], [found[name] for name in OTHERS if name in found]
        runs = len(gated.logarithms)
        share = binomtest(gated.vanished(), runs).proportion_ci(method="wilson")
        survives = share.high < 0.5
        more = []
        for other in others:
            table = [[each.exploded(), each.stayed()] for each in (gated, other)]
            more.append(fisher_exact(table, alternative="greater").pvalue < 0.05)
        explodes = bool(more) and all(more)
        halves += [survives, explodes]
        compared = "".join(f", {other.model} in {other.exploded()}" for other in others)
        reasons.append(
            f"{state} it {'does not vanish' if survives else 'vanishes'} (below {VANISHED:g} at "
            f"the longest lag in {gated.vanished()} of {runs} runs) and explodes "
            f"{'more' if explodes else 'no more'} than others (above {EXPLODED:g} at some lag in "
            f"{gated.exploded()}{compared})"
        )
    if not halves:
        return Verdict.OPEN, f"there is no run of {GATED}"
    verdict = Verdict.HOLDS if all(halves) else Verdict.CORRECTED if any(halves) else Verdict.FALSE
    return verdict, "; ".join(reasons)


def chain_error() -> float:
    """How far the closed form's Jacobians, multiplied, are from those that are measured."""
    return deviation(gated_rnn.chained_jacobians())
