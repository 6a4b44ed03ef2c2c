"""Judge the claim that the gated RNN explodes more readily (part 1.2.1 d)."""

from collections.abc import Iterable, Sequence

from hw2exp.diagnostics.statistics import share
from hw2exp.records.runs import RATE, Arm
from hw2exp.report.claims.claim import Claim, Finding, Judged, percent
from hw2exp.report.measures import SIGNIFICANT, Comparison


def gated_explodes_more(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether more runs of the gated RNN than of the LSTM spike or diverge, without cures."""
    from scipy.stats import fisher_exact

    plain = [arm for arm in arms if not arm.cures]
    lstms: dict[tuple[tuple[str, str], ...], list[Arm]] = {}
    for arm in plain:
        if arm.settings["model"] == "lstm":
            for key in (_rest(arm), _rest(arm, RATE)):
                lstms.setdefault(key, []).append(arm)
    for arm in plain:
        same, near = lstms.get(_rest(arm), []), lstms.get(_rest(arm, RATE), [])
        if arm.settings["model"] != "gated_rnn" or not (same or len(near) == 1):
            continue
        pair = arm, (same or near)[0]
        counts = [[_exploding(each), len(each.runs) - _exploding(each)] for each in pair]
        more = fisher_exact(counts, alternative="greater").pvalue < SIGNIFICANT
        fewer = fisher_exact(counts, alternative="less").pvalue < SIGNIFICANT
        finding = Finding.SUPPORTED if more else Finding.REFUTED if fewer else Finding.UNDECIDED
        told = ", ".join(
            f"{each.settings['model']} (lr {each.settings[RATE]}) {_exploding(each)} of "
            f"{len(each.runs)} runs ({percent(share(_exploding(each), len(each.runs)).value)})"
            for each in pair
        )
        yield Judged(arm.short_name, finding, told)


def _exploding(arm: Arm) -> int:
    return sum(bool(result.spikes) or result.diverged_at is not None for result in arm.results)


def _rest(arm: Arm, *left_out: str) -> tuple[tuple[str, str], ...]:
    """Return the settings in which two models must agree to be compared."""
    return tuple(
        (key, value)
        for key, value in arm.settings.items()
        if key.partition(".")[0] != "model" and key not in left_out
    )


CLAIMS = (
    Claim(
        "1.2.1 (d)",
        "The gated RNN is more likely to explode",
        "runs without cures that have a spike or diverge against the LSTM's, all else equal but "
        f"for a learning rate that suits each: Fisher's exact test at {SIGNIFICANT}",
        gated_explodes_more,
    ),
)
