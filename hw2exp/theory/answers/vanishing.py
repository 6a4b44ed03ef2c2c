"""Part 1.2.1 (d): does the gated RNN's gradient vanish, does it explode; measured."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hw2exp.statistics import median, share
from hw2exp.theory.answer import Answer, Check, Verdict
from hw2exp.theory.answers import gated_rnn
from hw2exp.theory.answers.deviation import deviation
from hw2exp.theory.reach import (
    EXPLODED,
    MEMORY,
    MODELS,
    SEEDS,
    VANISHED,
    Reach,
    after_training,
    at_initialization,
    draw_reach,
)

COMMANDS = (
    f"python -m hw2exp.train -m experiment=gradient_reach model={','.join(MODELS)} "
    f"'seed=range(0,{SEEDS})' hydra.sweep.dir=outputs/reach",
    "python -m hw2exp.theory 1.2.1d --runs outputs/reach",
)
"""That train networks, and measure them."""
GATED, OTHERS = "gated_rnn", ("rnn", "lstm")
UNTRAINED, TRAINED = "at initialization", "after training"
SIGNIFICANT = 0.05

Lines = tuple[str, ...]
States = Mapping[str, Mapping[str, Reach]]


def d(runs: Path | None = None) -> Answer:
    """The claim that it does not vanish, and is more likely to explode.

    Args:
        runs: the folder of a sweep, as ``COMMANDS`` makes it; without it only untrained networks
            are measured.

    Raises:
        ConfigError: the folder doesn't hold what is needed.
    """
    states, left_out = {UNTRAINED: at_initialization()}, Lines()
    if runs is not None:
        states[TRAINED], left_out = after_training(runs)
    verdict, because = decide(states)
    return Answer(
        "1.2.1 (d)",
        "Is the gated RNN subject to vanishing or exploding gradients?",
        "not subject to vanishing, as part of the gradient of h[t−1] goes past the sigmoid through "
        "c[t] ⊙ h[t−1]; but more likely to explode",
        "∂h[t]/∂h[t−1] = diag(c) + diag((h[t−1] − W_x x) ⊙ c ⊙ (1 − c)) W_h: what goes past is "
        "multiplied by c < 1 at every step. "
        f"Vanished: ‖∂h[T]/∂h[t]‖ is below {VANISHED:g} at the longest lag T − t. Exploded: it is "
        f"above {EXPLODED:g} at some lag",
        [Check("the product of closed-form ∂h[t]/∂h[t−1] = autograd through time", chain_error())],
        verdict,
        because,
        [*(line for state in states for line in table(state, states[state])), *left_out],
        measured=True,
        figures={f"gradient_reach{'' if runs else '_untrained'}.svg": partial(draw_reach, states)},
        commands=() if runs else COMMANDS,
    )


def table(state: str, found: Mapping[str, Reach]) -> list[str]:
    """Lines about every model.

    Args:
        state: of training.
        found: what was measured, by model.
    """
    longest = max((reach.logarithms.shape[1] for reach in found.values()), default=0)
    heading = f"{'':<12} {'factor [95 %]':<20} {f'at {longest}':<8} {'vanish':>6} {'explode':>7}"
    lines = [f"{state}: the factor a step, the norm at lag {longest} (medians), runs"]
    lines += [heading + ("  solved" if state == TRAINED else "")]
    lines += [_line(reach) for reach in found.values()]
    if MEMORY in found:
        lines.append(f"{MEMORY}: by its memory c[t] in the place of h[t]")
    if diverged := sum(each.trained.diverged for each in found.values() if each.trained):
        lines.append(f"among them {diverged} that diverged, measured where they last were finite")
    return lines


def _line(reach: Reach) -> str:
    rates, runs = reach.rates(), len(reach.logarithms)
    factor = median(rates[np.isfinite(rates)])
    rate = f"{factor.value:.3f} [{factor.low:.3f}, {factor.high:.3f}]"
    counts = [reach.vanished(), reach.exploded()]
    counts += [reach.trained.solved] if reach.trained else []
    left = f"10^{np.median(reach.logarithms[:, -1]) / np.log(10):.1f}"
    cells = "".join(f" {f'{count}/{runs}':>7}" for count in counts)
    return f"{reach.model:<12} {rate:<20} {left:<7}{cells}"


def decide(states: States) -> tuple[Verdict, str]:
    """Decide both halves of the claim in every state, and say what decided.

    Whether it vanishes: in more or in fewer than half of the runs, by Wilson's interval. Whether it
    explodes more: in more runs than the Elman RNN and the LSTM, by Fisher's exact test at 0.05.

    Args:
        states: what was measured, by the state's name.
    """
    halves: list[bool | None] = []
    reasons = []
    for state in (UNTRAINED, TRAINED):
        found = states.get(state, {})
        if GATED not in found:
            reasons.append(f"{state}: not measured")
            halves.append(None)
            continue
        gated, others = found[GATED], [found[name] for name in OTHERS if name in found]
        survives, told = _vanishing(gated)
        explodes, compared = _exploding(gated, others)
        halves += [survives, explodes]
        reasons.append(f"{state} its gradient {told}, and {compared}")
    return _verdict(halves), "; ".join(reasons)


def _verdict(halves: Sequence[bool | None]) -> Verdict:
    if any(half is None for half in halves):
        return Verdict.OPEN
    if all(halves):
        return Verdict.HOLDS
    return Verdict.CORRECTED if any(halves) else Verdict.FALSE


def _vanishing(gated: Reach) -> tuple[bool | None, str]:
    count, runs = gated.vanished(), len(gated.logarithms)
    interval = share(count, runs)
    told = f"vanishes in {count} of {runs} runs"
    if interval.low <= 0.5 <= interval.high:
        return None, f"{told}, too few runs to decide"
    return interval.high < 0.5, f"{told}, {'fewer' if interval.high < 0.5 else 'more'} than half"


def _exploding(gated: Reach, others: Sequence[Reach]) -> tuple[bool | None, str]:
    from scipy.stats import fisher_exact

    told = f"explodes in {gated.exploded()}"
    if not others:
        return None, f"{told}, with neither {' nor '.join(OTHERS)} to compare"
    more = []
    for other in others:
        counts = [[each.exploded(), each.stayed()] for each in (gated, other)]
        more.append(fisher_exact(counts, alternative="greater").pvalue < SIGNIFICANT)
    those = " and ".join(f"{other.model}'s in {other.exploded()}" for other in others)
    return all(more), f"{told}, {those}"


def chain_error() -> float:
    """How far the closed form's Jacobians, multiplied, are from those that are measured."""
    return deviation(gated_rnn.chained_jacobians())
