"""What a report says of runs that were looked into while they trained."""

import base64
import json
import os
import re
import shutil
from dataclasses import replace
from math import inf, nan, sqrt

import numpy as np
import polars
import pytest

from hw2exp.config.command_line import read
from hw2exp.config.run_files import DIAGNOSTICS
from hw2exp.records.diagnostics import DiagnosticsTable
from hw2exp.records.runs import read_runs
from hw2exp.report import why_figure as figures
from hw2exp.report.__main__ import main
from hw2exp.report.anatomies import LARGEST, MOST_PAGES, SIGNATURE, read_anatomies
from hw2exp.report.before_spikes import Phase, look_at, phases
from hw2exp.report.diagnosed import read_diagnosed

STEPS = [1, 10, 45, 55, 60, 64, 66, 72, 90, 110]
SPIKES = [(60, 64), (70, 72)]
BEFORE, DURING, ELSEWHERE = [45, 55, 66], [60, 64, 72], [90, 110]
"""Of these steps, 20 before a spike at most; a spike could begin from step 51 on."""


def look(step, growth=0.9, **more):
    """What a look measures, made up."""
    flow = [growth ** (8 - t) for t in range(1, 9)]
    row = {"gradient_flow": flow, "gradient_growth": growth, "gradient_largest": max(flow)}
    return row | more


def write(folder, looks, spikes=SPIKES):
    """Give a run diagnostics and spikes."""
    table = DiagnosticsTable()
    for step, row in looks.items():
        table.append(step, row)
    table.write(folder / DIAGNOSTICS)
    path = folder / "result.json"
    made = [
        {"step": start, "start": start, "end": end, "loss": 2.0, "median": 1.0}
        | {"above_initial": True, "after_explosion": False}
        for start, end in spikes
    ]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spikes": made}))


def copied(sweep, folder):
    """Two arms of two models, four seeds each; none was looked into."""
    for path in sorted(sweep.iterdir()):
        if path.name.isdigit() and "clip=none" in (path / ".hydra/overrides.yaml").read_text():
            shutil.copytree(path, folder / path.name)
    assert [len(arm.runs) for arm in read_runs(folder).arms] == [4, 4]
    return folder


@pytest.fixture
def runs(sweep, tmp_path):
    return copied(sweep, tmp_path / "runs")


def page_of(folder, out, figures="[why]", arms="true"):
    """The page of a chapter of nothing else."""
    plan = f"{{folder: runs, title: y, claims: false, figures: {figures}, arms: {arms}}}"
    (folder.parent / "report.yaml").write_text(f"{{title: x, chapters: [{plan}]}}")
    assert main([str(folder.parent), "--out", str(out)]) == 0
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(sweep, tmp_path_factory):
    """Runs of which two were looked into, one with an anatomy, and their report."""
    folder = tmp_path_factory.mktemp("why")
    runs = copied(sweep, folder / "runs")
    attention = {"attention": [0.5, 0.3, 0.2], "attention_entropy": 1.0, "lyapunov": 0.1}
    for name in ("0", "1"):
        write(runs / name, {step: look(step, 1.25, gate_mean=0.5, **attention) for step in STEPS})
    anatomy(runs / "0", 2)
    anatomy(runs / "1", 1, b"<script>")
    page_of(runs, folder / "out")
    return folder


def test_the_table_lies_beside_the_page(shown):
    table = polars.read_csv(shown / "out" / "runs" / "why.csv")
    assert table.select("runs", "looks", "growth_before", "growth_before_looks").rows() == [
        (2, 20, 1.25, 6)
    ]
    assert table["unstable_looks"].to_list() == [0]
    again = polars.read_parquet(shown / "out" / "runs" / "why.parquet")
    assert again.columns == table.columns
    assert again["lyapunov"].to_list() == table["lyapunov"].to_list() == [0.1]


def test_the_page_shows_figures_numbers_and_anatomies(shown):
    page = (shown / "out" / "report.html").read_text()
    section = re.search(r'<section class="why">.*?</section>', page, re.DOTALL)[0]
    assert section.count("<img") == 2
    assert "model=rnn, seed 0" in section
    assert "6 looks, 2 runs" in section
    assert ">–<" in section  # no sharpness was measured
    png = base64.b64encode(SIGNATURE + b"content").decode()
    assert f'alt="Spike 2 of model=rnn, seed 0" src="data:image/png;base64,{png}"' in section
    assert f"python -m hw2exp.anatomy {shown}/runs/0 --spike 2</code>" in section
    assert not re.search(r"(src|href)=\"(?!data:)", page)


@pytest.mark.slow
def test_made_again_all_files_are_the_same(shown, tmp_path):
    page_of(shown / "runs", tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {f"runs/why{end}" for end in (".csv", ".parquet", "_rnn.png", "_rnn.svg")} < names
    for name in names:
        assert (tmp_path / name).read_bytes() == (shown / "out" / name).read_bytes(), name


def test_without_diagnostics_nothing_of_it_is_there(shown, tmp_path):
    """And the rest of the page is the same, byte for byte."""
    shutil.copytree(shown / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob(f"*/{DIAGNOSTICS}"):
        path.unlink()
    for path in (tmp_path / "runs").glob("*/anatomy"):
        shutil.rmtree(path)
    page = page_of(tmp_path / "runs", tmp_path / "out").replace(str(tmp_path), str(shown))
    with_them = (shown / "out" / "report.html").read_text()
    note = "\n  <li>y: 1 anatomy page left out: no PNG, too large, or a link.</li>"
    assert note in with_them
    cut = re.sub(r'\n<section class="why">.*?</section>', "", with_them, flags=re.DOTALL)
    assert cut.replace(note, "") == page
    assert not list((tmp_path / "out").rglob("why*"))


def test_every_look_is_of_one_phase_or_of_none(runs):
    write(runs / "0", {step: look(step) for step in STEPS})
    (_, (looked,)), = read_diagnosed(read_runs(runs / "0").arms)[0]  # fmt: skip
    found = {phase: looked.steps[mask].tolist() for phase, mask in
             phases(looked.run, looked.steps).items()}  # fmt: skip
    assert found == {
        Phase.BEFORE: BEFORE, Phase.DURING: DURING, Phase.ELSEWHERE: ELSEWHERE,
    }  # fmt: skip


def test_the_numbers_of_the_table(runs):
    """Against medians and shares by hand; what is not finite does not count."""
    first = {step: look(step, growth=1 + step / 100, lyapunov=-step / 10) for step in STEPS}
    first[110] |= {"gradient_growth": nan, "lyapunov": inf}
    for step, spread in {1: 0.2, 10: 0.5, 45: 4.5, 110: nan}.items():  # of -0.1, -1, -4.5, inf
        first[step]["lyapunov_spread"] = spread
    for step, sharp in {1: 30.0, 55: 30.0, 64: inf, 66: 10.0, 90: nan, 110: 20.0}.items():
        first[step] |= {"sharpness_preconditioned": sharp, "sharpness_limit": 20.0}
    write(runs / "0", first)
    write(runs / "1", {60: look(60, growth=3.0), 100: look(100, growth=0.5)}, [(101, 105)])
    arms = read_runs(runs).arms
    arm, looked = next(each for each in read_diagnosed(arms)[0] if len(each[1]) == 2)
    found = look_at(arm, looked)
    assert (found.runs, found.looks) == (2, 12)
    values = {
        name: (each.estimate.value, each.looks, each.runs) for name, each in found.estimates.items()
    }
    assert values == {
        "growth_before": (pytest.approx((1.55 + 0.5) / 2), 4, 2),
        "growth_during": (pytest.approx(1.64), 3, 1),
        "growth_elsewhere": (pytest.approx((1.9 + 3) / 2), 2, 2),
        "unstable": (3 / 5, 5, 1),
        "unstable_before": (0.5, 2, 1),
        "unstable_during": (1, 1, 1),
        "unstable_elsewhere": (0, 1, 1),
        "lyapunov": (pytest.approx(-0.1), 9, 1),
        # The largest exponent, at step 1, has the spread 0.2: its sign is not known.
        "lyapunov_spread": (0.2, 1, 1),
        "lyapunov_signed": (pytest.approx(1 / 3), 3, 1),
    }
    assert np.isnan(
        found.estimates["growth_before"].estimate.low
    )  # of two runs there is no interval


ODD = {
    "zeros": {"gradient_flow": [0.0] * 8, "gradient_growth": nan, "gradient_largest": 0.0},
    "nothing finite": {"gradient_flow": [nan] * 8, "gradient_growth": nan, "lyapunov": nan},
    "infinities": {
        "gradient_flow": [inf, nan, 0.0, 1e300, 5e-324, -1.0, 1.0, 2.0], "gradient_growth": inf,
        "gradient_largest": inf, "lyapunov": -inf, "sharpness_limit": inf, "gate_mean": inf,
        "sharpness_preconditioned": inf, "attention_entropy": inf, "attention": [inf, nan],
    },
    "huge": {
        "gradient_flow": [1e308, 5e-324] * 4, "gradient_growth": 1e308, "gradient_largest": 1e308,
        "lyapunov": -1e308, "sharpness_limit": 5e-324, "gate_mean": 1e308,
        "sharpness_preconditioned": 1e308, "attention_entropy": 0.0, "attention": [0.0, 0.0],
    },
    "one number": {"lyapunov": sqrt(2)},
    "no lists": {"gradient_largest": 1.0, "attention_entropy": 1.0},
    "empty lists": {"gradient_largest": 1.0, "gradient_flow": []},
}  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("count", [1, 3])
def test_numbers_that_are_not_finite_break_nothing(runs, kind, count, tmp_path):
    """Warnings are errors here."""
    write(runs / "0", dict.fromkeys(STEPS[:count], ODD[kind]))
    ((arm, (looked,)),), notes = read_diagnosed(read_runs(runs / "0").arms)
    assert notes == []
    found = look_at(arm, [looked]).estimates["growth_before"]
    assert found.looks == (len(set(STEPS[:count]) & set(BEFORE)) if kind == "huge" else 0)
    figure = figures.why_figure(looked)
    figure.savefig(tmp_path / "why.svg")


def test_a_figure_shows_where_a_run_diverged(runs):
    write(runs / "0", dict.fromkeys(STEPS, ODD["infinities"]))
    path = runs / "0" / "result.json"
    diverged = {"status": "diverged", "diverged_at": 110}
    path.write_text(json.dumps(json.loads(path.read_text()) | diverged))
    ((_, (looked,)),), _ = read_diagnosed(read_runs(runs / "0").arms)
    for axes in figures.why_figure(looked).axes[::2]:  # between them lie color bars
        assert [110, 110] in [list(line.get_xdata()) for line in axes.lines]


def test_a_heat_map_of_many_looks_shows_the_largest_of_several(runs, monkeypatch):
    monkeypatch.setattr(figures, "MOST_COLUMNS", 3)
    steps = np.arange(1, 8)
    values = np.array([[1.0, 5], [2, 4], [3, nan], [nan, nan], [nan, nan], [nan, nan], [7, 0]])
    _, ((axes,),) = figures.panels_of(3, 3, 1, 1)
    mesh = figures._heat_map(axes, steps, values, 1, None)
    assert np.ma.filled(mesh.get_array(), nan).T.tolist() == [
        [3, 5], pytest.approx([nan, nan], nan_ok=True), [7, 0],
    ]  # fmt: skip
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0.5, 3.5, 6.5, 7.5]


def forged(folder, **columns):
    frame = polars.read_parquet(folder / DIAGNOSTICS)
    frame.with_columns(**columns).write_parquet(folder / DIAGNOSTICS)


DAMAGE = {
    "cut off": lambda run: os.truncate(run / DIAGNOSTICS, 100),
    "pipe": lambda run: ((run / DIAGNOSTICS).unlink(), os.mkfifo(run / DIAGNOSTICS)),
    "other columns": lambda run: forged(run, more=polars.lit(1)),
    "steps missing": lambda run: forged(run, step=polars.lit(None, polars.Int64)),
    "steps of another run": lambda run: forged(run, step=polars.col("step") + 1_000),
    "steps before the first": lambda run: forged(run, step=polars.col("step") - 1),
    "steps out of order": lambda run: forged(run, step=polars.col("step").reverse()),
    "steps too large": lambda run: forged(run, step=polars.lit(2**64 - 1, polars.UInt64)),
    "lists of several lengths": lambda run: forged(
        run, gradient_flow=polars.col("gradient_flow").list.head(polars.col("step") % 3)
    ),
    "no looks": lambda run: DiagnosticsTable().write(run / DIAGNOSTICS),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_diagnostics_are_left_out_with_a_line(runs, kind):
    for name in ("0", "1"):
        write(runs / name, {step: look(step) for step in STEPS})
    DAMAGE[kind](runs / "1")
    ((_, looked),), notes = read_diagnosed(read_runs(runs).arms)
    assert [each.run.folder.name for each in looked] == ["0"]
    assert notes == ["diagnostics of 1 run left out: can't be read"]


def test_diagnostics_that_a_run_was_to_leave_are_missed(runs):
    (arm,) = read_runs(runs / "0").arms
    ((seed, run),) = arm.runs.items()
    assert read_diagnosed([arm]) == ([], [])
    asked = read(["diagnostics=all"]).jobs[0].config.diagnostics
    own = replace(run, config=run.config.model_copy(update={"diagnostics": asked}))
    found = read_diagnosed([replace(arm, runs={seed: own})])
    assert found == ([], ["diagnostics of 1 run left out: missing"])


def test_where_all_diagnostics_are_damaged_only_the_summary_says_so(runs, tmp_path, capsys):
    (runs / "0" / DIAGNOSTICS).write_bytes(b"no Parquet")
    page = page_of(runs, tmp_path / "out", figures="[]")
    assert "<li>y: Diagnostics of 1 run left out: can&#39;t be read.</li>" in page
    assert "\n  Diagnostics of 1 run left out: can't be read.\n" in capsys.readouterr().out
    assert 'class="why"' not in page


def anatomy(run, number, content=SIGNATURE + b"content"):
    (run / "anatomy").mkdir(exist_ok=True)
    path = run / "anatomy" / f"spike_{number}.png"
    path.write_bytes(content)
    return path


def test_an_anatomy_is_shown_of_a_run_that_was_not_looked_into(runs, tmp_path):
    anatomy(runs / "1", 3)
    (runs / "1" / "anatomy" / "divergence.png").write_bytes(SIGNATURE + b"last")
    page = page_of(runs, tmp_path / "out")
    assert page.count('<section class="why">') == 1
    assert page.index("Spike 3 of ") < page.index("The divergence of ")
    assert f"hw2exp.anatomy {runs / '1'} --spike divergence" in page
    assert "What was seen of runs while they trained" not in page
    assert not list(tmp_path.rglob("why.csv"))


def test_pages_are_those_of_the_first_spikes_in_order(runs):
    for number in (10, 2, 1):
        anatomy(runs / "1", number, SIGNATURE + b"%d" % number)
    for number in range(1, 6):
        anatomy(runs / "0", number)
    for name in ("spike_01.png", "spike_x.png", "spike_3.png.part", "spike_٣.png"):
        (runs / "1" / "anatomy" / name).write_bytes(b"not asked for")
    pages, notes = read_anatomies(read_runs(runs).arms)
    found = [(page.run.folder.name, page.number) for page in pages]
    assert found == [*(("0", number) for number in range(1, 6)), ("1", 1)]
    assert pages[-1].png == SIGNATURE + b"1"
    assert notes == [f"2 anatomy pages left out: only the first {MOST_PAGES} are shown"]


def test_pages_that_are_no_pictures_are_left_out_with_a_line(runs, tmp_path):
    secret = anatomy(tmp_path, 1, SIGNATURE + b"secret")
    anatomy(runs / "0", 1, b"<script>")
    anatomy(runs / "0", 2, SIGNATURE + bytes(LARGEST))
    (runs / "0" / "anatomy" / "spike_3.png").symlink_to(secret)
    os.mkfifo(runs / "0" / "anatomy" / "spike_4.png")
    (runs / "0" / "anatomy" / "spike_5.png").mkdir()
    (runs / "1" / "anatomy").symlink_to(secret.parent)
    (runs / "2" / "anatomy").write_text("no folder")
    anatomy(runs / "3", 7, SIGNATURE)
    pages, notes = read_anatomies(read_runs(runs).arms)
    assert [(page.run.folder.name, page.number) for page in pages] == [("3", 7)]
    assert notes == ["6 anatomy pages left out: no PNG, too large, or a link"]


def test_a_plan_can_leave_figures_and_arms_out(runs, tmp_path):
    write(runs / "0", {step: look(step) for step in STEPS})
    anatomy(runs / "0", 1)
    page = page_of(runs, tmp_path / "out", figures="[]", arms="false")
    assert "<img" not in page
    assert "too sharp" not in page
    assert (tmp_path / "out" / "runs" / "why.csv").exists()
