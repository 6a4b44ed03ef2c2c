"""The write-up's claims as data: words, measure, rule; and what runs say of each."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hw2exp.records.runs import NO_CURE, Arm
from hw2exp.report.measures import SIGNIFICANT, Comparison
from hw2exp.statistics import mean, rate, share
from hw2exp.training import INITIAL_ACCURACY, INITIAL_LOSS, LOSS_TOLERANCE


class Finding(StrEnum):
    """What runs say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim.

    Args:
        part: of the write-up.
        words: what it says.
        rule: what is measured, and what decides.
        judge: from all arms and comparisons to a finding for each setting.
    """

    part: str
    words: str
    rule: str
    judge: "Callable[[Sequence[Arm], Sequence[Comparison]], Iterable[Judged]]"


@dataclass(frozen=True)
class Judged:
    """What is found of a claim in a setting.

    Args:
        setting: where; nothing if everywhere.
        finding: what.
        numbers: that decided.
    """

    setting: str
    finding: Finding
    numbers: str


def initial_values(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether every run starts at ln 4, and their accuracy at 0.25."""
    starts = [result.initial for arm in arms for result in arm.results]
    losses = np.array([start["loss"] for start in starts])
    accuracy = mean([start["accuracy"] for start in starts])
    near = int((np.abs(losses - INITIAL_LOSS) <= LOSS_TOLERANCE).sum())
    told = (
        f"{near} of {len(losses)} runs within {LOSS_TOLERANCE} of ln 4 (median "
        f"{np.median(losses):.4f}); accuracy {accuracy.value:.3f} "
        f"[{accuracy.low:.3f}, {accuracy.high:.3f}]"
    )
    right = near == len(losses) and abs(accuracy.value - INITIAL_ACCURACY) < 0.01
    yield Judged("", Finding.SUPPORTED if right else Finding.REFUTED, told)


def spikes_exceed(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether most spikes of runs without cures exceed the loss that training started with."""
    for arm in arms:
        results = [result for result in arm.results if result.spikes]
        if arm.cures or not results:
            continue
        above = [sum(spike["above_initial"] for spike in result.spikes) for result in results]
        estimate = rate(above, [len(result.spikes) for result in results])
        told = (
            f"{sum(above)} of {sum(len(result.spikes) for result in results)} spikes: "
            f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"
        )
        yield Judged(arm.name, _against_half(estimate.low, estimate.high), told)


def _against_half(low: float, high: float) -> Finding:
    if low > 0.5:
        return Finding.SUPPORTED
    return Finding.REFUTED if high < 0.5 else Finding.UNDECIDED


def reduces_spikes(
    group: str, only: Sequence[str] | None = None
) -> Callable[[Sequence[Arm], Sequence[Comparison]], Iterable[Judged]]:
    """Whether a cure alone takes spikes away, on the same seeds.

    Args:
        group: of cures.
        only: the choices that the claim is about; all by default.
    """

    def judge(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
        for each in compared:
            settings = each.cured.settings
            alone = all(
                settings[other] == none for other, none in NO_CURE.items() if other != group
            )
            if not alone or (only is not None and settings[group] not in only):
                continue
            finding = FINDINGS[each.verdict]
            spikes = each.spikes
            told = (
                f"{signed(spikes.value)} [{signed(spikes.low)}, {signed(spikes.high)}] spikes per "
                f"1,000 steps, {each.seeds} seeds, p = {each.pvalue:.2g}"
            )
            yield Judged(each.cured.name, finding, told)

    return judge


def gated_explodes_more(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether the gated RNN spikes or diverges in more runs than the LSTM, all else equal."""
    from scipy.stats import fisher_exact

    lstms = {_but_model(arm): arm for arm in arms if arm.settings["model"] == "lstm"}
    for arm in arms:
        if arm.settings["model"] != "gated_rnn" or (other := lstms.get(_but_model(arm))) is None:
            continue
        counts = [[_exploding(each), len(each.runs) - _exploding(each)] for each in (arm, other)]
        more = fisher_exact(counts, alternative="greater").pvalue < SIGNIFICANT
        fewer = fisher_exact(counts, alternative="less").pvalue < SIGNIFICANT
        finding = Finding.SUPPORTED if more else Finding.REFUTED if fewer else Finding.UNDECIDED
        told = ", ".join(
            f"{each.settings['model']} {_exploding(each)} of {len(each.runs)} runs "
            f"({percent(share(_exploding(each), len(each.runs)).value)})"
            for each in (arm, other)
        )
        yield Judged(arm.name, finding, told)


def _exploding(arm: Arm) -> int:
    return sum(bool(result.spikes) or result.diverged_at is not None for result in arm.results)


def _but_model(arm: Arm) -> tuple[tuple[str, str], ...]:
    return tuple(item for item in arm.settings.items() if item[0].partition(".")[0] != "model")


FINDINGS = {
    "fewer": Finding.SUPPORTED,
    "more": Finding.REFUTED,
    "diverges": Finding.REFUTED,
    "undecided": Finding.UNDECIDED,
}
"""What a cure does, and what that says of the claim that it cures."""


def percent(value: float) -> str:
    """Write a share.

    Args:
        value: from 0 to 1.
    """
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def signed(value: float) -> str:
    """Write a difference.

    Args:
        value: the difference.
    """
    return f"{value:+.1f}".replace("-", "−")


COMPARED = (
    "spikes per 1,000 steps with the cure less without, on the same seeds: decided where its "
    "p-value, by turning signs and corrected for the number of comparisons, is below "
    f"{SIGNIFICANT}; refuted as well where more runs diverge with it"
)

CLAIMS = (
    Claim(
        "1.3 (d)",
        "Loss and accuracy start from around 1.39 and around 0.25",
        f"every run's initial loss within {LOSS_TOLERANCE} of ln 4, the mean accuracy within 0.01 "
        "of 0.25",
        initial_values,
    ),
    Claim(
        "1.3 (b)",
        "The loss is also higher than the initial one",
        "the share of spikes of runs without cures that exceed the initial loss: more than half, "
        "by a bootstrap interval over runs",
        spikes_exceed,
    ),
    Claim("1.3 (c)", "We can clip the gradient", COMPARED, reduces_spikes("clip")),
    Claim(
        "1.3 (c)", "We can apply batch normalization", COMPARED, reduces_spikes("norm", ["batch"])
    ),
    Claim("1.3 (c)", "We can use a learning rate scheduler", COMPARED, reduces_spikes("schedule")),
    Claim(
        "1.2.1 (d)",
        "The gated RNN is more likely to explode",
        "runs with a spike or divergence against the LSTM's, all else equal: Fisher's exact test "
        f"at {SIGNIFICANT}",
        gated_explodes_more,
    ),
)
"""What runs can say; the closed forms are the business of ``hw2exp.theory``."""


def judge(arms: Sequence[Arm], compared: Sequence[Comparison]) -> list[tuple[Claim, list[Judged]]]:
    """Judge every claim that there are runs for.

    Args:
        arms: all.
        compared: all.
    """
    found = [(claim, list(claim.judge(arms, compared))) for claim in CLAIMS]
    return [(claim, judged) for claim, judged in found if judged]
