"""Make a chapter of the page: measure, compare, judge and draw the runs below one folder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.diagnostics.paired_tests import too_few
from hw2exp.records.arm_pairs import labels, setting_of
from hw2exp.records.arms import Arm
from hw2exp.records.found import Found
from hw2exp.report.aftermath import Aftermath, aftermath
from hw2exp.report.agreement import Agreed, make_agreed
from hw2exp.report.arm_claims import AnyClaim, ArmsClaim, compare_all
from hw2exp.report.brake import AFTERMATH, after_explosions, aftermath_rows
from hw2exp.report.claim import Evidence, Judged
from hw2exp.report.claims import claims_of_parts, judge
from hw2exp.report.comparisons import Comparison, comparison_rows
from hw2exp.report.cures import CURES, cures_figure
from hw2exp.report.curves import curves, curves_caption, gallery, gallery_caption
from hw2exp.report.dose_response import DOSES, dose_response
from hw2exp.report.gated_rnn import reached_by
from hw2exp.report.lengths import LENGTHS, by_length, lengths_figure
from hw2exp.report.maps import Maps, make_maps
from hw2exp.report.measures import ArmMeasures, arm_rows, measure, run_rows, with_scores
from hw2exp.report.plan import ChapterPlan
from hw2exp.report.published import PUBLISHED, published, published_curves
from hw2exp.report.solving import RATES, UNSOLVED, rates, unsolved
from hw2exp.report.spikes import causes, spike_rows
from hw2exp.report.style import MOST_ARMS, Drawn, draw
from hw2exp.report.tables import write_table
from hw2exp.report.trade_off import LASTING, at_once_and_lasting
from hw2exp.report.trials import Trials, make_trials
from hw2exp.report.warning import Warned, warned_of, warning_rows
from hw2exp.report.warning_figure import WARNING, warning_figure
from hw2exp.report.why import Why, make_why
from hw2exp.system import disk
from hw2exp.system.problems import counted
from hw2exp.theory.reach_figure import reach_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Named = tuple[str, str, str, Figure | None]

REACH = (
    "The norm of ∂h[T]/∂h[t] against the lag, median and quartiles over runs. The line marks how "
    "far back the task asks to see."
)

ONE_BY_ONE = "the page has no chapter on each of the {}, because the maps show them all"

NO_PAIRS = "claim “{}” left out: no arms of these runs differ as it says, on two seeds or more"

NO_ARMS = "claim “{}” left out: the arms of a map are not compared"

EMPTY = {
    "cures": "no run has spikes",
    "unsolved": "no run has solved its task",
    "curves": "no run has logged a finite loss",
    "spikes": "no run has spikes",
    "effects": "no intervention has a dose",
}
"""Reasons why a figure is empty, for the figures that don't need runs of a special kind."""


@dataclass(frozen=True)
class Chapter:
    """A chapter of the page.

    Args:
        plan: the chapter's plan.
        folder: the folder of the runs.
        found: the runs.
        maps: the maps of the runs.
        measured: the measures of all arms; empty if there are maps.
        agreed: which measures rank arms alike, and the learning-rate sensitivity.
        compared: the comparisons of cures with none.
        asked: further comparisons in spikes, for which claims ask.
        trials: the effects of interventions on spikes.
        claims: each claim with its findings.
        figures: the figures in order.
        warned: the signals that may announce spikes, at each lead.
        why: the results of the diagnostics.
        notes: sentences about the runs and figures left out.
    """

    plan: ChapterPlan
    folder: Path
    found: Found
    maps: Maps
    measured: Sequence[ArmMeasures]
    agreed: Agreed
    compared: Sequence[Comparison]
    asked: Sequence[Comparison]
    trials: Trials
    claims: Sequence[tuple[AnyClaim, Sequence[Judged]]]
    figures: Sequence[Drawn]
    warned: Sequence[Warned]
    why: Why
    notes: Sequence[str]

    @property
    def files(self) -> str:
        """Return the prefix of the paths of the chapter's files; the only chapter has none."""
        return f"{self.plan.folder}/" if self.plan.title else ""


def size_of(*chapters: Found) -> str:
    """Write the numbers of runs and arms."""
    runs, arms = map(sum, zip(*(found.size for found in chapters), strict=True))
    return f"{counted(runs, 'run')} in {counted(arms, 'arm')}"


def make_chapter(
    plan: ChapterPlan, folder: Path, found: Found, target: Path, own: Sequence[ArmsClaim] = ()
) -> Chapter:
    """Measure, compare, judge and draw a folder's runs; write the tables and figures.

    Args:
        plan: the chapter's plan.
        folder: the folder of the runs.
        found: the runs.
        target: the folder for the files; created if missing.
        own: the user's claims, which come before ours.

    Raises:
        OSError: a file can't be written.
    """
    disk.make_folder(target)
    maps = make_maps(found, target) if plan.wants("maps") else Maps()
    arms = [] if maps.measured else found.arms
    measured = [with_scores(measure(arm)) for arm in arms]
    wanted = claims_of_parts(plan.claims, own)
    both = compare_all(arms, wanted)
    compared, agreed = both.cures, make_agreed(measured, target)
    trials = make_trials(arms, target)
    evidence = Evidence(arms, compared, trials.effects, trials.lasting, both.asked, both.contrasts)
    claims = judge(evidence, plan.claims, own) if arms else []
    after = [each for each in map(aftermath, arms) if each is not None]
    why = make_why(arms, target, plan.wants("why"))
    warned, unread = warned_of(arms)
    left_out = [*found.left_out, *maps.notes, *why.notes, *trials.notes, *unread]
    decided = [claim for claim, _ in claims]
    undecided = [each for each in own if each in wanted and each not in decided]
    why_undecided = NO_PAIRS if arms else NO_ARMS
    left_out += [why_undecided.format(claim.words) for claim in undecided]
    left_out += filter(None, [too_few(both.seeds)])
    few = dict.fromkeys(arm.config.too_few_tests for arm in arms)
    left_out += [f"no run of some arms can solve its task: {each}" for each in few if each]
    if maps.measured:
        left_out.append(ONE_BY_ONE.format(counted(found.size[1], "arm")))
    drawn, empty = _draw_all(_figures(plan, evidence, measured, after, warned), target)
    left_out += empty
    notes = [f"{line[0].upper()}{line[1:]}." for line in left_out]
    write_table(found.outcomes if maps.measured else run_rows(arms), target, "runs")
    tables = {
        "arms": arm_rows(measured),
        "spikes": spike_rows([each for each in map(causes, arms) if each]),
        "aftermath": aftermath_rows(after),
        "warning": warning_rows(warned),
        "comparisons": comparison_rows([*compared, *both.asked]),
    }
    for name, rows in tables.items():
        if rows:
            write_table(rows, target, name)
    return Chapter(
        plan, folder, found, maps, measured, agreed, compared, both.asked, trials, claims, drawn,
        warned, why, notes,
    )  # fmt: skip


def _draw_all(figures: "Iterable[Named]", target: Path) -> tuple[list[Drawn], list[str]]:
    """Draw the figures; return a line for each empty one, too."""
    drawn, empty = [], []
    for name, title, caption, figure in figures:
        if figure is None:
            empty.append(f"figure “{title}” left out: {EMPTY[name.partition('_')[0]]}")
        else:
            drawn.append(draw(figure, target, name, title, caption))
    return drawn, empty


def _figures(
    plan: ChapterPlan,
    evidence: Evidence,
    measured: Sequence[ArmMeasures],
    after: Sequence[Aftermath],
    warned: Sequence[Warned],
) -> "Iterator[Named]":
    """Yield each wanted figure: name, title, caption, and the figure, or None if it is empty.

    Figures that need runs of a special kind are left out where there are none.
    """
    arms, compared, wanted = evidence.arms, evidence.compared, plan.wants
    if wanted("published") and (of_notebook := published(arms)):
        figure = published_curves(of_notebook)
        yield "published", "The published curve", PUBLISHED, figure
    if wanted("cures") and compared:
        spiking = any(result.spikes for arm in arms for result in arm.results)
        of_cures = cures_figure(compared) if spiking else None
        yield "cures", "What each cure does to spikes", CURES, of_cures
    if wanted("effects") and evidence.effects:
        of_doses = dose_response(evidence.effects)
        yield "effects", "What would have prevented spikes", DOSES, of_doses
        if (both := at_once_and_lasting(evidence.effects, evidence.lasting)) is not None:
            yield "effects_lasting", "At once and in the long run", LASTING, both
    if wanted("aftermath") and after:
        figure = after_explosions(after)
        yield "aftermath", "After an exploding gradient", AFTERMATH, figure
    if wanted("warning") and warned:
        yield "warning", "What announces a spike", WARNING, warning_figure(warned)
    if wanted("rates") and (by_rate := rates(measured)) is not None:
        yield "rates", "Learning rates", RATES, by_rate
    if wanted("lengths") and (grouped := by_length(arms)):
        figure = lengths_figure(grouped)
        yield "lengths", "Who still learns longer sequences", LENGTHS, figure
    if wanted("reach") and (reached := reached_by(arms)):
        states = {"after training": reached}
        yield "reach", "How far back a gradient reaches", REACH, reach_figure(states)
    if not arms:
        return
    if wanted("unsolved"):
        of_all = unsolved(measured)
        yield "unsolved", "Who has solved, and when", UNSOLVED, of_all
    if wanted("curves"):
        yield from _curves(arms)
    if wanted("spikes"):
        yield "spikes", "The highest spikes", gallery_caption(arms), gallery(arms)


def _curves(arms: Sequence[Arm]) -> "Iterator[Named]":
    """Yield one figure; with more than ``MOST_ARMS`` arms, one for each model and optimizer."""
    if len(arms) <= MOST_ARMS:
        figure = curves(arms, [arm.name for arm in arms])
        yield "curves", "Loss curves", curves_caption(arms), figure
        return
    for setting, group in groupby(sorted(arms, key=setting_of), key=setting_of):
        own = list(group)
        more = counted(len(own) - MOST_ARMS, "more arm")
        left_out = f" Not shown: {more}." * (len(own) > MOST_ARMS)
        figure = curves(own[:MOST_ARMS], labels(own)[:MOST_ARMS])
        title = f"Loss curves: {', '.join(setting)}"
        yield f"curves_{'_'.join(setting)}", title, curves_caption(own) + left_out, figure
