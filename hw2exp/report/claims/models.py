"""Judge the claim that the gated RNN explodes more readily (part 1.2.1 d)."""

from collections.abc import Iterable, Sequence

from hw2exp.diagnostics.statistics import share
from hw2exp.records.arm_pairs import partners
from hw2exp.records.arms import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judged, percent
from hw2exp.report.measures import SIGNIFICANT, Comparison


def gated_explodes_more(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether more runs of the gated RNN than of the LSTM spike or diverge, without cures."""
    from scipy.stats import fisher_exact

    gated, lstms = (
        [arm for arm in arms if arm.model == model and not arm.cures]
        for model in ("gated_rnn", "lstm")
    )
    for pair in partners(gated, lstms, ("model",)):
        counts = [[_exploding(each), len(each.runs) - _exploding(each)] for each in pair]
        more = fisher_exact(counts, alternative="greater").pvalue < SIGNIFICANT
        fewer = fisher_exact(counts, alternative="less").pvalue < SIGNIFICANT
        finding = Finding.SUPPORTED if more else Finding.REFUTED if fewer else Finding.UNDECIDED
        told = ", ".join(
            f"{each.model} (lr {each.rate}) {_exploding(each)} of "
            f"{len(each.runs)} runs ({percent(share(_exploding(each), len(each.runs)).value)})"
            for each in pair
        )
        yield Judged(pair[0].short_name, finding, told)


def _exploding(arm: Arm) -> int:
    return sum(bool(result.spikes) or result.diverged_at is not None for result in arm.results)


CLAIMS = (
    Claim(
        "1.2.1 (d)",
        "The gated RNN is more likely to explode",
        "runs without cures that have a spike or diverge against the LSTM's, all else equal but "
        f"for a learning rate that suits each: Fisher's exact test at {SIGNIFICANT}",
        gated_explodes_more,
    ),
)
