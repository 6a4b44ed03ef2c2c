"""Make a folder's report: read the runs, make the chapters, write the page and its files."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hw2exp.config.folder import asked_for, check_path
from hw2exp.records.figure_style import figure_style
from hw2exp.records.found import Found
from hw2exp.records.runs import read_runs
from hw2exp.report.arm_claims import ArmsClaim
from hw2exp.report.chapter import Chapter, make_chapter, size_of
from hw2exp.report.claims import claim_rows, shipped_claims
from hw2exp.report.claims_file import own_claims
from hw2exp.report.map_measures import map_rows
from hw2exp.report.page import claims_of, render
from hw2exp.report.plan import ChapterPlan, Plan, check_target, read_plan
from hw2exp.report.tables import write_table
from hw2exp.report.windows import by_window
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError

PAGE = "report.html"


def make_report(
    folder: Path,
    target: Path,
    echo: Callable[[str], None] = lambda _: None,
    lose: Callable[[str], None] = lambda _: None,
    claims_file: Path | None = None,
    slides: bool = False,
    imports: Sequence[str] = (),
) -> Path:
    """Write tables, figures and the page of all runs below a folder.

    If the folder has a ``report.yaml``, the page has the chapters listed there, and each chapter's
    files lie in their own folder. Without one, each window of a map is a chapter, if there are
    several.

    Args:
        folder: the folder of the runs.
        target: the folder to write into; created if missing.
        echo: the function that receives lines about progress.
        lose: the function that receives a line for each reason why runs were unusable.
        claims_file: the file of the user's claims; None: ``claims.yaml`` in the folder of the runs,
            if it is there.
        slides: whether the page has large type, and a screen for each section.
        imports: the user's modules, for the command that the page shows.

    Returns:
        The path of the page.

    Raises:
        ConfigError: there are no runs, ``report.yaml`` or ``claims.yaml`` is invalid, or the target
            can't be created.
        OSError: a file can't be written.
    """
    for path in (folder, target):
        check_path(path, str(path))
    plan, own = read_plan(folder), own_claims(folder, claims_file)
    if plan is not None:
        check_target(plan, target)
    found = _found(folder, plan)
    with ExitStack() as stack:
        with asked_for(str(target)):
            stack.enter_context(disk.made_folder(target))
        stack.enter_context(figure_style())
        chapters = [
            _chapter(each, runs, folder, target / each.folder if each.title else target, own, echo)
            for each, runs in found
        ]
        claims = claims_of(chapters, [*own, *shipped_claims()])
        if claims:
            write_table(claim_rows(claims), target, "claims")
        if plan is None and len(chapters) > 1:
            write_table(_window_rows(chapters), target, "maps")
        options = [f"--import={name}" for name in imports] + ["--slides"] * slides
        options += [] if claims_file is None else ["--claims", str(claims_file)]
        page = render(folder, plan, chapters, claims, options, slides)
        disk.write(target / PAGE, page.encode(errors="replace"))  # a folder's name may not be UTF-8
    for _, runs in found:
        for line in runs.lost:
            lose(line)
    return target / PAGE


def _found(folder: Path, plan: Plan | None) -> list[tuple[ChapterPlan, Found]]:
    """Read the runs of each chapter whose folder exists, before any chapter is written."""
    if plan is None:
        windows = enumerate(by_window(read_runs(folder, shown=True)).items(), 1)
        return [(ChapterPlan(folder=f"window_{n}", title=t), runs) for n, (t, runs) in windows]
    there = [each for each in plan.chapters if (folder / each.folder).is_dir()]
    if not there:
        raise ConfigError([f"{folder}: holds none of the folders that its report.yaml names"])
    return [(each, read_runs(folder / each.folder, shown=True)) for each in there]


def _window_rows(chapters: Sequence[Chapter]) -> list[dict[str, Any]]:
    """Return the rows of the maps of all windows."""
    return [
        {"window": chapter.plan.title, **row}
        for chapter in chapters
        for row in map_rows(chapter.maps.measured)
    ]


def _chapter(
    plan: ChapterPlan,
    found: Found,
    folder: Path,
    target: Path,
    own: Sequence[ArmsClaim],
    echo: Callable[[str], None],
) -> Chapter:
    echo(f"{plan.title}: {size_of(found)}" if plan.title else size_of(found))
    below = folder / plan.folder
    place = below if plan.title and below.is_dir() else folder  # a window has no folder of its own
    chapter = make_chapter(plan, place, found, target, own)
    for note in chapter.notes:
        echo(f"  {note}")
    return chapter
