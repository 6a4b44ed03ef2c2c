"""Answer part 1.2.1 (d) by measurements: does the gated RNN's gradient vanish or explode?"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.config.command_line import read
from hw2exp.diagnostics.gradient_reach import spectral_norms, state_jacobians
from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.diagnostics.shares import share
from hw2exp.diagnostics.statistics import median
from hw2exp.diagnostics.trajectory import NO_NORM
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.cell import unroll
from hw2exp.tasks.task import CHECK
from hw2exp.theory.answer import Answer, Check, Verdict
from hw2exp.theory.answer import decide as verdict_of
from hw2exp.theory.answers import gated_rnn
from hw2exp.theory.answers.deviation import deviation, worst
from hw2exp.theory.reach import (
    MEMORY,
    MODELS,
    SEEDS,
    VANISHED,
    Reach,
    after_training,
    at_initialization,
    farthest_mark,
)
from hw2exp.theory.reach_figure import draw_reach

COMMANDS = (
    f"python -m hw2exp.train -m experiment=gradient_reach model={','.join(MODELS)} "
    f"'seed=range(0,{SEEDS})' hydra.sweep.dir=outputs/reach",
    "python -m hw2exp.theory 1.2.1d --runs outputs/reach",
)
"""The commands that train networks and measure them."""
GATED, OTHERS = "gated_rnn", ("rnn", "lstm")
UNTRAINED, TRAINED = "at initialization", "after training"

Lines = tuple[str, ...]
States = Mapping[str, Mapping[str, Reach]]
"""The measured reaches by model, for each state of training."""


def d(runs: Path | None = None) -> Answer:
    """Answer (d): the gradient does not vanish, and is more likely to explode.

    Args:
        runs: the folder of the sweep in ``COMMANDS``; without it only untrained networks are
            measured.

    Raises:
        ConfigError: the folder lacks the runs that the part needs.
    """
    # The runs first, so that a folder without usable ones is refused at once.
    trained, left_out = ({}, Lines()) if runs is None else after_training(runs)
    states = {UNTRAINED: at_initialization()} | ({} if runs is None else {TRAINED: trained})
    verdict, because = decide(states)
    far = farthest_mark()
    return Answer(
        "1.2.1 (d)",
        "Is the gated RNN subject to vanishing or exploding gradients?",
        "not subject to vanishing, as part of the gradient of h[t−1] goes past the sigmoid through "
        "c[t] ⊙ h[t−1]; but more likely to explode",
        "∂h[t]/∂h[t−1] = diag(c) + diag((h[t−1] − W_x x) ⊙ c ⊙ (1 − c)) W_h: what goes past is "
        "multiplied by c < 1 at every step. Whether it vanishes: whether less than a tenth, a "
        f"hundredth, a thousandth of ‖∂h[T]/∂h[t]‖ is left at lag {far}, the farthest that the "
        "task asks to see, in more or in fewer than half of the runs by Wilson's interval. Whether "
        "it explodes more: whether its largest norm at any lag is larger than those of rnn and "
        "lstm by Mann and Whitney's test",
        [
            Check(
                "the product of closed-form ∂h[t]/∂h[t−1] = autograd through time", chain_error()
            ),
            Check("norms at lag 1 and 100, five models = one by one", norm_error(), 1e-8),
        ],
        verdict,
        because,
        [*(line for state in states for line in table(state, states[state])), *left_out],
        measured=True,
        figures={f"gradient_reach{'' if runs else '_untrained'}.svg": partial(draw_reach, states)},
        commands=() if runs else COMMANDS,
    )


def table(state: str, found: Mapping[str, Reach]) -> list[str]:
    """Format the measurements in a state of training, a line for each model."""
    far = farthest_mark()
    solved = " solve" if state == TRAINED else ""
    lines = [
        f"{state}, medians and counts of runs:",
        f"{'':<12} {'factor a step [95 %]':<20} {'R²':>3} {f'lag {far}':<8} {'vanish':>6} "
        f"{'largest':>7}{solved}",
    ]
    lines += [_row(reach, far) for reach in found.values()]
    if MEMORY in found:
        lines.append(f"{MEMORY}: by its memory c[t] in the place of h[t]")
    if diverged := sum(each.trained.diverged for each in found.values() if each.trained):
        lines.append(f"among them {diverged} that diverged, measured where they last were finite")
    return lines


def _row(reach: Reach, far: int) -> str:
    factors, fits = reach.lines()
    known = np.isfinite(factors)
    factor = median(factors[known])
    interval = f" [{factor.low:.3f}, {factor.high:.3f}]" if np.isfinite(factor.low) else ""
    rate, fit = "none", "–"
    if known.any():
        rate = f"{factor.value:.3f}{interval}"
        fit = f"{np.median(fits[known]):.2f}".replace("0.", ".").replace("1.00", "1.0")
    runs = len(reach.logarithms)
    vanished = f"{reach.vanished(far, VANISHED[-1])}/{runs}"
    solved = f" {reach.trained.solved:>5}" if reach.trained else ""
    return (
        f"{reach.model:<12} {rate:<20} {fit:>3} {_power(reach.at(far)):<8} {vanished:>6} "
        f"{_power(reach.largest()):>7}{solved}"
    )


def _power(logarithms: NDArray[np.float64]) -> str:
    power = f"{np.median(logarithms) / np.log(10):.1f}"
    return f"10^{'0.0' if power == '-0.0' else power}"


def decide(states: States) -> tuple[Verdict, str]:
    """Decide both halves of the claim in every state of training; return verdict and reason."""
    halves: list[bool | None] = []
    reasons = []
    for state in (UNTRAINED, TRAINED):
        found = states.get(state, {})
        if GATED not in found:
            reasons.append(f"{state}: not measured")
            halves.append(None)
            continue
        gated, others = found[GATED], [found[name] for name in OTHERS if name in found]
        lives, evidence = survives(gated)
        explodes, compared = explodes_more(gated, others)
        halves += [lives, explodes]
        reasons.append(f"{state} it {evidence}; {compared}")
    return verdict_of(halves), "; ".join(reasons)


def survives(gated: Reach) -> tuple[bool | None, str]:
    """Return whether the gradient survives in more than half of the runs, and the evidence.

    Returns:
        True or False if the counts for all of ``VANISHED`` agree, else None; and the reason.
    """
    far, runs = farthest_mark(), len(gated.logarithms)
    counts = [gated.vanished(far, left) for left in VANISHED]
    evidence = f"in {', '.join(map(str, counts))} of {runs} runs"
    intervals = [share(count, runs) for count in counts]
    if all(interval.high < 0.5 for interval in intervals):
        return True, f"does not vanish ({evidence})"
    if all(interval.low > 0.5 for interval in intervals):
        return False, f"vanishes ({evidence})"
    return None, f"can't be said to vanish or not ({evidence})"


def explodes_more(gated: Reach, others: Sequence[Reach]) -> tuple[bool | None, str]:
    """Return whether the gated RNN's largest norms exceed the other models', and the evidence.

    The answer is None where the tests don't agree, or without other models.
    """
    from scipy.stats import mannwhitneyu

    if not others:
        return None, f"there is neither {' nor '.join(OTHERS)} to compare"
    found, compared = None, "among"
    for side, so, word in (("greater", True, "larger than"), ("less", False, "smaller than")):
        tests = [mannwhitneyu(gated.largest(), each.largest(), alternative=side) for each in others]
        if all(test.pvalue < SIGNIFICANT for test in tests):
            found, compared = so, word
    norms = ", ".join(f"{each.model} {_power(each.largest())}" for each in others)
    evidence = f"its largest norm, {_power(gated.largest())}, is {compared} theirs ({norms})"
    return found, evidence


def norm_error() -> float:
    """Return the largest error of measured norms, in the logarithm.

    They are compared with norms computed for one model and lag at a time.
    """
    differences = []
    for model in MODELS:
        fleet = Fleet([read(["experiment=gradient_reach", f"model={model}"]).jobs[0].config])
        symbols, _ = fleet.batch(0, CHECK, 1)
        x = fleet.model.one_hot.double()[symbols.mT.long()]
        params = {name: value.double().requires_grad_() for name, value in fleet.params.items()}
        states = unroll(fleet.model.cell, params, x, NO_NORM)
        measured = spectral_norms(state_jacobians(fleet.model.cell, params, x))[0, 0]  # (T-1,)
        for lag in (1, 100):
            rows = [
                torch.autograd.grad(element, states[-1 - lag], retain_graph=True)[0][0, 0]
                for element in states[-1][0, 0]
            ]
            alone = np.linalg.svd(torch.stack(rows).numpy(), compute_uv=False)[0]
            differences.append(abs(math.log(float(measured[-lag])) - math.log(alone)))
    return worst(differences)


def chain_error() -> float:
    """Return the deviation of multiplied closed-form Jacobians from the measured ones."""
    return deviation(gated_rnn.chained_jacobians())
