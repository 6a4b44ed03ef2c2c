"""A folder's report: reads the runs, measures, draws, writes everything beside each other."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.problems import ConfigError
from hw2exp.records.run_dir import write_bytes
from hw2exp.records.runs import read_runs, references
from hw2exp.report import figures
from hw2exp.report.claims import judge
from hw2exp.report.measures import compare, measure
from hw2exp.report.page import Drawn, render, size_of
from hw2exp.report.tables import arms_table, comparisons_table, runs_table, write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
DPI = 130


def make_report(folder: Path, target: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Make tables, figures and the page of all runs below a folder.

    Args:
        folder: of the runs.
        target: the folder to write into; made if missing.
        say: told what is being done.

    Returns:
        The page.

    Raises:
        ConfigError: there are no runs, or the target can't be written to.
    """
    found = read_runs(folder)
    say(size_of(found.arms))
    measured = [measure(arm) for arm in found.arms]
    compared = compare(references(found.arms))
    claims = judge(found.arms, compared)
    notes = [f"{line[0].upper()}{line[1:]}." for line in found.left_out]
    few = found.arms[: figures.MOST_ARMS]
    if len(few) < len(found.arms):
        notes.append(f"Figures show the first {len(few)} of {len(found.arms)} arms.")
    say("drawing")
    gallery = figures.gallery(found.arms)
    plans = [
        ("curves", "Loss curves", CURVES, figures.curves(few)),
        ("unsolved", "Who has solved, and when", UNSOLVED, figures.unsolved(measured[: len(few)])),
    ]
    if compared:
        drawn = figures.cures(compared[: figures.MOST_ARMS])
        plans.append(("cures", "What each cure does to spikes", CURES, drawn))
    if gallery is not None:
        plans.append(("spikes", "The highest spikes", GALLERY, gallery))
    try:
        target.mkdir(parents=True, exist_ok=True)
        shown = [_draw(figure, target, *about) for *about, figure in plans]
        write_table(runs_table(found.arms), target, "runs")
        write_table(arms_table(measured), target, "arms")
        if compared:
            write_table(comparisons_table(compared), target, "comparisons")
        page = render(folder, measured, compared, claims, shown, notes)
        write_bytes(target / PAGE, page.encode())
    except OSError as error:
        raise ConfigError([f"{target}: {error.strerror or error}"]) from error
    return target / PAGE


CURVES = (
    "Training loss: the median over seeds (line), the quartiles (band), and three single runs "
    "(thin): that with the fewest spikes, that with the most, and one between. Dashed: ln 4. "
    "Above 2 the scale is logarithmic."
)
UNSOLVED = (
    "The share of runs that have not solved their task yet (Kaplan and Meier), with 95 % bands "
    "where there are few arms."
)
CURES = (
    "The difference in spikes per 1,000 steps on the same seeds, its mean and 95 % interval. "
    "Colored where the p-value, corrected for the number of comparisons, is below 0.05."
)
GALLERY = (
    "The highest spike of each of six runs: training loss and gradient norm, each the largest "
    "since the row of the metrics before. Dashed: the loss before training."
)


def _draw(figure: "Figure", target: Path, name: str, title: str, caption: str) -> Drawn:
    import matplotlib as mpl

    image = BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    write_bytes(target / f"{name}.png", image.getvalue())
    vector = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "hw2exp", "svg.fonttype": "none"}):
        figure.savefig(vector, format="svg", metadata={"Date": None})
    write_bytes(target / f"{name}.svg", vector.getvalue())
    return Drawn(name, title, caption, image.getvalue())
