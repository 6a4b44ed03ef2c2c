"""Show and judge what cures do to spikes (part 1.3 c), and clipping under RMSprop."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from hw2exp.records.arm_pairs import setting_of
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import BLUE, GRAY, RED
from hw2exp.report.claim import Claim, Evidence, Finding, Judge, Judged, finding_of
from hw2exp.report.comparisons import Change, Comparison, change_text
from hw2exp.report.measures import SIGNIFICANT
from hw2exp.report.solving import by_setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cures_figure(compared: Sequence[Comparison]) -> "Figure":
    """Draw each cure's difference in spikes from no cure, a panel for each model and optimizer."""
    arms = [each.cured for each in compared]
    names = list(dict.fromkeys(_name(each) for each in compared))
    figure, panels = by_setting(arms, 0.7 + 0.19 * len(names), sharey=True)
    for each in compared:
        estimate, decided = each.spikes, each.verdict in ("fewer", "more")
        color = GRAY if not decided else BLUE if estimate.value < 0 else RED
        place = names.index(_name(each)) + (0.22 if each.own_rate else -0.12)
        axes = panels[setting_of(each.cured)]
        axes.plot([estimate.low, estimate.high], [place, place], color=color, linewidth=1.4)
        face = "white" if each.own_rate else color
        axes.plot(
            estimate.value,
            place,
            "o" if each.comparable else "x",
            color=color,
            markersize=3.6,
            markerfacecolor=face,
        )
    for setting, axes in panels.items():
        own = [each for each in compared if setting_of(each.cured) == setting]
        axes.axvline(0, color=GRAY, linewidth=0.8)
        largest = max((_extent(each) for each in own), default=0)
        if largest > 20 * min((_extent(each) for each in own), default=1):
            axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(
        "spikes per 1,000 steps: with the cure less without, mean over seeds and 95 %", fontsize=8
    )
    return figure


def _name(compared: Comparison) -> str:
    return compared.cured.cures


def _extent(compared: Comparison) -> float:
    return max(abs(compared.spikes.low), abs(compared.spikes.high), 1e-3)


CURES = (
    "The difference in spikes per 1,000 steps on the same seeds, its mean and 95 % interval. "
    "Colored where it is decided (a p-value, corrected for the number of comparisons, below 0.05): "
    "blue fewer, red more. A cross: more runs diverge on one side, so spikes decide nothing. "
    "Hollow: at the cure's own learning rate, not that of the arm without."
)

Chosen = Callable[[Arm], bool]


def alone(group: str, *choices: str) -> Chosen:
    """Return the test for arms whose only cure is one of these choices of a group, or any."""

    def is_alone(arm: Arm) -> bool:
        chosen = arm.chosen_cures
        return set(chosen) == {group} and (not choices or chosen[group] in choices)

    return is_alone


def together(arm: Arm) -> bool:
    """Return whether an arm has several cures."""
    return len(arm.chosen_cures) > 1


def reduces_spikes(chosen: Chosen) -> Judge:
    """Return the judge of whether the chosen arms' cures reduce spikes, by optimizer and cures."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        found = [each for each in evidence.compared if chosen(each.cured)]
        for where, group in groupby(sorted(found, key=_where), key=_where):
            members = list(group)
            yield Judged(" ".join(where).strip(), of_verdicts(members), _describe(members))

    return judge


def _where(compared: Comparison) -> tuple[str, str, str]:
    """Return the setting of a finding: optimizer, cures, and kind of learning rate."""
    own = "at its own rate" if compared.own_rate else ""
    return compared.cured.optimizer, compared.cured.cures, own


def of_verdicts(members: Iterable[Change]) -> Finding:
    """Return the finding on a cure that takes spikes away: fewer with some, and more with none."""
    verdicts = {each.verdict.split()[0] for each in members} - {"undecided"}
    return finding_of(verdicts == {"fewer"}, verdicts == {"more"})


def called(arms: Sequence[Arm]) -> dict[str, str]:
    """Return a short name for each arm's: its model, if no other of the arms has it."""
    models = [model for _, model in {(arm.name, arm.model) for arm in arms}]
    return {arm.name: arm.model if models.count(arm.model) == 1 else arm.name for arm in arms}


def _describe(members: Sequence[Comparison]) -> str:
    names = called([each.cured for each in members])
    shares = "solved", "ends_solved"
    return "; ".join(f"{names[each.cured.name]} {change_text(each, shares)}" for each in members)


def clipping_makes_more(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether clipping alone adds spikes under RMSprop, at the same learning rate."""
    opposite = {
        Finding.SUPPORTED: Finding.REFUTED,
        Finding.REFUTED: Finding.SUPPORTED,
        Finding.UNDECIDED: Finding.UNDECIDED,
    }
    chosen = [
        each
        for each in evidence.compared
        if each.cured.optimizer == "rmsprop" and not each.own_rate and "diverge" not in each.verdict
    ]
    for judged in reduces_spikes(alone("clip", "norm"))(replace(evidence, compared=chosen)):
        yield Judged(judged.setting, opposite[judged.finding], judged.numbers)


COMPARED = (
    "spikes per 1,000 steps with the cure less without, on the same seeds, for each model under an "
    "optimizer; * where its p-value, by turning signs and corrected for the number of "
    f"comparisons, is below {SIGNIFICANT}; where the shares of runs that diverge differ so, these "
    "decide, and where they may differ (the same p-value without the correction) nothing does. "
    "Supported if fewer with at least one model and more with none; refuted if more with at least "
    "one and fewer with none. All settings but the cure are the same. At the same learning rate, "
    "and at the cure's own where that is another. In brackets, "
    "where they differ so, the shares of runs that solve the task at "
    "some time, and that end solved: runs that never leave ln 4 have no spikes either"
)

CLAIMS = (
    Claim("1.3 (c)", "We can clip the gradient", COMPARED, reduces_spikes(alone("clip"))),
    Claim(
        "1.3 (c)",
        "We can apply batch normalization",
        COMPARED,
        reduces_spikes(alone("norm", "batch")),
    ),
    Claim(
        "1.3 (c)",
        "We can use a learning rate scheduler",
        COMPARED,
        reduces_spikes(alone("schedule")),
    ),
    Claim(
        "beyond it",
        "Layer or QK normalization takes spikes away",
        COMPARED,
        reduces_spikes(alone("norm", "layer", "qk")),
    ),
    Claim("beyond it", "Cures together take spikes away", COMPARED, reduces_spikes(together)),
    Claim(
        "a first look",
        "Clipping makes more spikes under RMSprop",
        "as for clipping, the other way round, at the same learning rate",
        clipping_makes_more,
    ),
)
