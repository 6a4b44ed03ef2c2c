"""Judge claims on how far a gradient reaches back in trained networks (part 1.2.1 d)."""

from collections.abc import Iterable, Sequence

from hw2exp.records.arms import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judged
from hw2exp.report.measures import Comparison
from hw2exp.system.problems import ConfigError
from hw2exp.theory.answers.vanishing import GATED, OTHERS, explodes_more, survives
from hw2exp.theory.reach import VANISHED, Reach, measure_trained, unfit

FINDINGS = {True: Finding.SUPPORTED, False: Finding.REFUTED, None: Finding.UNDECIDED}


def measured(arms: Sequence[Arm]) -> dict[str, Reach]:
    """Measure the reach of runs of ``experiment=gradient_reach``; return nothing for other runs.

    Args:
        arms: all arms.

    Returns:
        The reach of each model.
    """
    if not arms or unfit(arms):
        return {}
    try:
        return measure_trained(arms)
    except ConfigError:
        return {}


def does_not_vanish(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether the trained gated RNN's gradient does not vanish."""
    found = measured([arm for arm in arms if arm.model == GATED])
    if GATED in found:
        decided, told = survives(found[GATED])
        yield Judged("after training", FINDINGS[decided], told)


def has_larger_norms(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether the trained gated RNN's gradient grows larger than that of other models."""
    found = measured([arm for arm in arms if arm.model in (GATED, *OTHERS)])
    others = [found[name] for name in OTHERS if name in found]
    if GATED in found and others:
        decided, told = explodes_more(found[GATED], others)
        yield Judged("after training", FINDINGS[decided], told)


CLAIMS = (
    Claim(
        "1.2.1 (d)",
        "The gated RNN is not subject to gradient vanishing",
        f"whether less than {', '.join(f'{left:g}' for left in VANISHED)} of ‖∂h[T]/∂h[t]‖ is left "
        "at the farthest lag that the task asks to see: not so in more than half of the runs, by "
        "Wilson's interval, whichever of the three is asked",
        does_not_vanish,
    ),
    Claim(
        "1.2.1 (d)",
        "The gated RNN's gradient grows larger",
        "the largest ‖∂h[T]/∂h[t]‖ at any lag of trained networks against those of the Elman RNN "
        "and the LSTM, by Mann and Whitney's test",
        has_larger_norms,
    ),
)
