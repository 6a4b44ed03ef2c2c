"""What announces a spike, in made-up worlds where that is known."""

import json
import re
import shutil

import numpy as np
import polars
import pytest

from hw2exp.config.command_line import read
from hw2exp.config.run_files import WHATIF
from hw2exp.records.arms import Run, gather
from hw2exp.records.moments import MOMENT, RUN, SIGNALS_FILE, write_moments
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import read_runs
from hw2exp.records.signals import SIGNALS
from hw2exp.report.__main__ import main
from hw2exp.report.warning import ALL, best_leads, warned_of, warning_rows

STARTS = range(100, 1000, 300)
LEADS = 10, 1


def write(folder, seed, **kinds):
    """Signals of three spikes and quiet moments: ``gradient`` tells all at a lead of 1, falling
    ``sharpness`` at 10; ``loss`` is noise; no other signal applies."""
    noise = np.random.default_rng(seed)
    rows = []
    for number, start in enumerate(STARTS, 1):
        for kind in ("spike", "quiet"):
            for lead in LEADS:
                spike = kind == "spike"
                row = {"moment": kind, "number": number, "start": start + 50 * (not spike)}
                row |= {"end": row["start"] + 4, "stage": 1.0, "lead": lead}
                own = dict.fromkeys(SIGNALS, np.nan) | {
                    "gradient": 2.0 * (spike and lead == 1) + noise.random(),
                    "sharpness": -2.0 * (spike and lead == 10) + noise.random(),
                    "loss": noise.random(),
                }
                rows.append(row | own)
    (folder / WHATIF).mkdir(exist_ok=True)
    schema = MOMENT | dict.fromkeys(SIGNALS, float) | kinds
    table = polars.DataFrame(rows, schema=schema, strict=False)
    path = folder / "result.json"
    run = json.loads(path.read_text())["metrics_sha256"] if path.exists() else ""
    write_moments(folder / WHATIF / SIGNALS_FILE, table, {RUN: run})


def made_run(tmp_path, seed, model="rnn"):
    config = read([f"model={model}", f"seed={seed}", "steps=1000"]).jobs[0].config
    folder = tmp_path / f"{model}-{seed}"
    folder.mkdir()
    write(folder, seed)
    final = {"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 0.5}
    spikes = [{"start": start, "step": start, "end": start + 4} for start in STARTS]
    result = RunResult(
        "finished", 1000, None, None, {"loss": 1.39, "accuracy": 0.25}, final, spikes, "", "", 1.0,
        {},
    )  # fmt: skip
    return Run(folder, config, result)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warning")
    models = [(model, seed) for model in ("rnn", "lstm") for seed in range(8)]
    arms, _ = gather(made_run(folder, seed, model) for model, seed in models)
    found, left_out = warned_of(arms)
    assert left_out == []
    return {(each.arm, each.signal, each.lead): each for each in found}


def test_each_arm_and_all_together_have_each_signal_that_applies(found):
    names = ["model=lstm", "model=rnn", ALL]
    assert sorted({arm for arm, _, _ in found}) == sorted(names)
    assert len(found) == len(names) * 3 * len(LEADS)


@pytest.mark.parametrize("arm", ["model=rnn", ALL])
def test_the_signal_that_announces_every_spike(found, arm):
    sure = found[arm, "gradient", 1]
    runs = 16 if arm == ALL else 8
    assert (sure.area.value, sure.area.high, sure.side) == (1, 1, "high")
    assert sure.area.low > 0.8
    assert sure.pvalue < 0.05
    assert sure.alarms.recall.value == 1
    assert sure.spikes == 3
    quiet = 3 * runs
    assert sure.false_alarms.value == pytest.approx(1000 / (quiet + 1))
    assert sure.precision.value == pytest.approx(3 / (3 + 1000 / (quiet + 1)))
    assert sure.precision.low < sure.precision.value < sure.precision.high


def test_low_values_announce_as_well(found):
    falling = found[ALL, "sharpness", 10]
    assert (falling.area.value, falling.side, falling.alarms.recall.value) == (0, "low", 1)
    assert falling.pvalue < 0.05


@pytest.mark.parametrize("key", [("loss", 1), ("loss", 10), ("gradient", 10), ("sharpness", 1)])
def test_noise_announces_nothing(found, key):
    noise = found[ALL, *key]
    assert noise.area.low < 0.5 < noise.area.high
    assert noise.pvalue > 0.05
    assert noise.alarms.recall.value < 0.3


def test_the_best_lead_of_each_signal(found):
    best = {(each.arm, each.signal): each.lead for each in best_leads(list(found.values()))}
    assert len(best) == 9
    for arm in ("model=rnn", "model=lstm", ALL):
        assert best[arm, "gradient"] == 1
        assert best[arm, "sharpness"] == 10
    rows = warning_rows(list(found.values()))
    assert sum(row["best_lead"] for row in rows) == 9
    assert {(row["seeds"], row["spikes"], row["quiet"]) for row in rows if row["arm"] == ALL} == {
        (8, 48, 48)
    }


def spiking(sweep, folder):
    """Two runs of a sweep with made-up spikes and their signals."""
    for name in ("0", "1"):
        shutil.copytree(sweep / name, folder / name)
        path = folder / name / "result.json"
        result = json.loads(path.read_text()) | {"step": 1000}
        made = {"loss": 2.0, "median": 1.0, "above_initial": True, "after_explosion": False}
        result["spikes"] = [{"step": s, "start": s, "end": s} | made for s in STARTS]
        path.write_text(json.dumps(result))
        write(folder / name, int(name))
    return folder


def test_the_page_has_the_figure_and_the_table(sweep, tmp_path):
    spiking(sweep, tmp_path / "runs")
    plan = "{folder: runs, title: y, claims: false, figures: [warning]}"
    (tmp_path / "report.yaml").write_text(f"{{title: x, chapters: [{plan}]}}")
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 1
    section = re.search(r'<section class="warning screen">.*?</section>', page, re.DOTALL)[0]
    assert section.count("<tr>") == 1 + 3
    for signal in ("gradient", "sharpness", "loss"):
        assert f"<td>{signal}</td>" in section
    table = polars.read_csv(tmp_path / "out" / "runs" / "warning.csv")
    assert table.filter(signal="gradient", lead=1)["area"].to_list() == [1.0]
    assert {"warning.png", "warning.svg", "warning.parquet"} <= {
        path.name for path in (tmp_path / "out" / "runs").iterdir()
    }


def test_files_that_are_not_of_the_run_are_left_out(sweep, tmp_path):
    folder = spiking(sweep, tmp_path / "runs")
    write(folder / "1", 1, loss=str)
    found, lines = warned_of(read_runs(folder).arms)
    assert len({each.arm for each in found}) == 1
    assert {int(each.scores.runs.max()) for each in found} == {0}
    assert lines == ["signals of 1 run left out: can't be read"]
    for name in ("0", "1"):
        path = folder / name / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"spikes": []}))
        write(folder / name, 0)
    assert warned_of(read_runs(folder).arms) == ([], ["signals of 2 runs left out: can't be read"])
    for path in folder.glob(f"*/{WHATIF}/*"):
        path.unlink()
    assert warned_of(read_runs(folder).arms) == ([], [])
