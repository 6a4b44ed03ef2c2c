"""Judge claims on the gated RNN: it explodes, and its gradient does not vanish (part 1.2.1 d)."""

from collections.abc import Iterable, Sequence

from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.diagnostics.shares import share
from hw2exp.records.arm_pairs import partners
from hw2exp.records.arms import Arm
from hw2exp.report.claim import Claim, Evidence, Finding, Judged, finding_of
from hw2exp.report.tables import percent
from hw2exp.system.problems import ConfigError
from hw2exp.theory.answers.vanishing import GATED, OTHERS, explodes_more, survives
from hw2exp.theory.reach import VANISHED, Reach, measure_trained, unfit

_FINDINGS = {True: Finding.SUPPORTED, False: Finding.REFUTED, None: Finding.UNDECIDED}


def gated_explodes_more(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether more runs of the gated RNN than of the LSTM spike or diverge, without cures."""
    from scipy.stats import fisher_exact

    gated, lstms = (
        [arm for arm in evidence.arms if arm.model == model and not arm.cures]
        for model in ("gated_rnn", "lstm")
    )
    for pair in partners(gated, lstms, ("model",)):
        counts = [[_exploding(each), len(each.runs) - _exploding(each)] for each in pair]
        more = fisher_exact(counts, alternative="greater").pvalue < SIGNIFICANT
        fewer = fisher_exact(counts, alternative="less").pvalue < SIGNIFICANT
        numbers = ", ".join(
            f"{each.model} (lr {each.rate}) {_exploding(each)} of "
            f"{len(each.runs)} runs ({percent(share(_exploding(each), len(each.runs)).value)})"
            for each in pair
        )
        yield Judged(pair[0].short_name, finding_of(more, fewer), numbers)


def _exploding(arm: Arm) -> int:
    return sum(bool(result.spikes) or result.diverged_at is not None for result in arm.results)


def reached_by(arms: Sequence[Arm]) -> dict[str, Reach]:
    """Return each model's reach in runs of ``experiment=gradient_reach``; empty for other runs."""
    if not arms or unfit(arms):
        return {}
    try:
        return measure_trained(arms)
    except ConfigError:
        return {}


def does_not_vanish(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether the trained gated RNN's gradient does not vanish."""
    found = reached_by([arm for arm in evidence.arms if arm.model == GATED])
    if GATED in found:
        decided, numbers = survives(found[GATED])
        yield Judged("after training", _FINDINGS[decided], numbers)


def has_larger_norms(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether the trained gated RNN's gradient grows larger than that of other models."""
    found = reached_by([arm for arm in evidence.arms if arm.model in (GATED, *OTHERS)])
    others = [found[name] for name in OTHERS if name in found]
    if GATED in found and others:
        decided, numbers = explodes_more(found[GATED], others)
        yield Judged("after training", _FINDINGS[decided], numbers)


CLAIMS = (
    Claim(
        "1.2.1 (d)",
        "The gated RNN is more likely to explode",
        "runs without cures that have a spike or diverge against the LSTM's, all else equal but "
        f"for a learning rate that suits each: Fisher's exact test at {SIGNIFICANT}",
        gated_explodes_more,
    ),
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
