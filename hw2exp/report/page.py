"""Render the page: one HTML file that needs no network."""

import base64
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, zip_longest
from pathlib import Path
from urllib.parse import quote

from hw2exp.records.arms import Arm
from hw2exp.records.run_dir import RunResult
from hw2exp.records.signals import SIGNALS
from hw2exp.report.agreement import agreement_cells, sensitivity_cells
from hw2exp.report.arm_claims import AnyClaim
from hw2exp.report.before_spikes import NEAR, Phase, look_cells
from hw2exp.report.chapter import Chapter, size_of
from hw2exp.report.claim import SURPRISE, Finding, Judged
from hw2exp.report.comparisons import comparison_cells
from hw2exp.report.effects import effect_cells, main_effects
from hw2exp.report.lasting import lasting_cells, main_lasting
from hw2exp.report.map_measures import MAP_HEADINGS, map_cells
from hw2exp.report.measures import HEADINGS, arm_cells
from hw2exp.report.plan import Plan
from hw2exp.report.tables import number, percent
from hw2exp.report.warning import best_leads, warning_cells
from hw2exp.report.why_figure import WHY
from hw2exp.system.problems import counted, visible

NAMED = 5
"""Most diverged runs that the summary names one by one."""

ROOM = 6 << 20
"""Most bytes of maps in the page, before base64 adds a third."""


def render(
    folder: Path,
    plan: Plan | None,
    chapters: Sequence[Chapter],
    claims: Sequence[tuple[AnyClaim, Sequence[Judged]]],
    options: Sequence[str] = (),
    slides: bool = False,
) -> str:
    """Render the page as HTML.

    Args:
        folder: the folder of the report.
        plan: the report's plan, if there is one.
        chapters: the chapters, one or more.
        claims: each claim with its findings in all chapters.
        options: the options of the command that the page shows.
        slides: whether the page has large type, and a screen for each section.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hw2exp.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_written,
    )
    environment.filters["base64"] = _base64
    environment.globals |= {
        "counted": counted, "HEADINGS": HEADINGS, "NEAR": NEAR, "PHASES": list(Phase), "WHY": WHY,
        "agreement_cells": agreement_cells, "sensitivity_cells": sensitivity_cells,
        "arm_cells": arm_cells, "comparison_cells": comparison_cells, "look_cells": look_cells,
        "effect_cells": effect_cells, "lasting_cells": lasting_cells, "main_effects": main_effects,
        "main_lasting": main_lasting, "SIGNALS": SIGNALS, "best_leads": best_leads,
        "size_of": size_of, "warning_cells": warning_cells, "map_cells": map_cells,
        "MAP_HEADINGS": MAP_HEADINGS, "sources": _sources(chapters), "Finding": Finding,
        "SURPRISE": SURPRISE,
    }  # fmt: skip
    found = [chapter.found for chapter in chapters]
    return environment.get_template("page.html.jinja").render(
        title=plan.title if plan else f"hw2exp: {folder.resolve().name}",
        text=plan.text if plan else "",
        folder=str(folder),
        command=f"python -m hw2exp.report {shlex.join([str(folder), *options])}",
        size=size_of(*found),
        summary=[line for chapter in chapters for line in _summary(chapter)],
        claims=claims,
        refuted=any(each.finding is Finding.REFUTED for _, judged in claims for each in judged),
        slides=slides,
        chapters=chapters,
        tables=_tables(claims, chapters),
        versions=sorted(set().union(*(each.versions for each in found))),
    )


def _written(value: object) -> object:
    """Make invisible characters of a plain text visible; markup has a type of its own."""
    return visible(value, kept="\n") if type(value) is str else value


def _tables(claims: Sequence[object], chapters: Sequence[Chapter]) -> list[str]:
    """Return the names of the written tables."""
    compared = any(chapter.compared or chapter.asked for chapter in chapters)
    measured = any(chapter.measured for chapter in chapters)
    mapped = any(chapter.maps.measured for chapter in chapters)
    names = {"claims": claims, "runs": True, "arms": measured, "comparisons": compared}
    return [name for name, written in (names | {"maps": mapped}).items() if written]


def _sources(chapters: Sequence[Chapter]) -> dict[str, str]:
    """Return where each map's figure is: in the page as long as there is room, else beside it.

    Figures of the outcome come before all others.
    """
    kinds = zip_longest(*(chapter.maps.kinds for chapter in chapters))
    figures = [
        (f"{chapter.files}{figure.name}.png", figure.png)
        for of_chapters in kinds
        for chapter, kind in zip(chapters, of_chapters, strict=True)
        for figure in (kind.figures if kind else ())
    ]
    sizes = accumulate(len(png) for _, png in figures)
    return {
        path: f"data:image/png;base64,{_base64(png)}" if size <= ROOM else quote(path)
        for (path, png), size in zip(figures, sizes, strict=True)
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def claims_of(
    chapters: Sequence[Chapter], order: Sequence[AnyClaim]
) -> list[tuple[AnyClaim, list[Judged]]]:
    """Return each claim with its findings in all chapters, in a given order."""
    found: dict[int, list[Judged]] = {}
    for chapter in chapters:
        where = f"{chapter.plan.title}: " if len(chapters) > 1 else ""
        for claim, judged in chapter.claims:
            found.setdefault(id(claim), []).extend(
                replace(each, setting=f"{where}{each.setting or 'all runs'}") for each in judged
            )
    return [(claim, found[id(claim)]) for claim in order if id(claim) in found]


def _summary(chapter: Chapter) -> list[str]:
    """Return a chapter's lines of the summary."""
    measured, title = chapter.measured, chapter.plan.title
    head = f"{title}: " * bool(title)
    results = [result for each in measured for result in each.arm.results]
    lines = [head + line for line in chapter.maps.summary]
    if results:
        lines.append(head + _outcomes(results))
    if line := _diverged([each.arm for each in measured]):
        lines.append(head + line)
    if len(measured) > 1 and not title:
        worst = max(measured, key=lambda each: each.diverged.value)
        most = max(measured, key=lambda each: each.spikes.value)
        best = max(measured, key=lambda each: each.solved.value)
        if worst.diverged.value > 0:
            lines.append(f"Most often diverged: {worst.arm.name}, {percent(worst.diverged.value)}.")
        if most.spikes.value > 0:
            rate = number(most.spikes.value)
            short = " A run that diverges has no time for more." * (worst.diverged.value > 0)
            lines.append(f"Most spikes: {most.arm.name}, {rate} per 1,000 steps.{short}")
        if best.solved.value > 0:
            lines.append(f"Most often solved: {best.arm.name}, {percent(best.solved.value)}.")
    counts = {
        kind: sum(each.finding is kind for _, judged in chapter.claims for each in judged)
        for kind in Finding
    }
    if any(counts.values()):
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        lines.append(f"{head}{'c' if title else 'C'}laims, by setting: {listed}.")
    return [*lines, *(head + note for note in chapter.notes)]


def _outcomes(results: Sequence[RunResult]) -> str:
    """Write how many runs solved their task, diverged and had spikes."""
    if len(results) == 1:
        return _outcome(results[0])
    counts = [
        sum(map(bool, found))
        for found in (
            [each.solved_at for each in results],
            [each.diverged_at for each in results],
            [each.spikes for each in results],
        )
    ]
    solved, diverged, spiking = (f"{count:,}" if count else "none" for count in counts)
    spikes = counted(sum(len(each.spikes) for each in results), "spike")
    return (
        f"Of {counted(len(results), 'run')} {solved} solved the task, {diverged} diverged, "
        f"and {spiking} had {f'spikes: {spikes} in all' if counts[-1] else 'a spike'}."
    )


def _outcome(result: RunResult) -> str:
    """Write how one run ended."""
    solved = "solved its task" if result.solved_at else "did not solve its task"
    diverged = f", diverged at step {result.diverged_at:,}" if result.diverged_at else ""
    return f"The run {solved}{diverged}, and had {counted(len(result.spikes), 'spike')}."


def _diverged(arms: Sequence[Arm]) -> str:
    """Write which runs diverged, and when; the table of runs has all of them."""
    found = [
        f"{arm.name} " * (len(arms) > 1) + f"seed {seed} at step {run.result.diverged_at:,}"
        for arm in arms
        for seed, run in arm.runs.items()
        if run.result.diverged_at
    ]
    more = len(found) - NAMED
    named = "; ".join(found[:NAMED]) + (f"; and {more:,} more (runs.csv)" if more > 0 else "")
    return f"Diverged: {named}." if found else ""
