"""What a notebook shows of results: a line, a run's curve, a sweep's table."""

import shutil
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest

import hw2exp
from hw2exp.records.curve_figure import DPI
from hw2exp.records.runs import read_runs
from hw2exp.report.measures import SHOWN, measure
from hw2exp.report.tables import percent
from hw2exp.train import notebook
from hw2exp.train.api import Run

SHORT = ("model=rnn", "task=easy", "steps=30", "eval_every=10", "eval_batches=2", "log_every=5")
NAME = "a <b> & c"


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """The same small sweep in folders, and packed; the folder's name is no HTML."""
    found = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("notebook"))
        for records in ("folders", "packed"):
            words = ("clip=none,norm", "seed=0,1", *SHORT, "plot=false", f"records={records}")
            found[records] = hw2exp.sweep(*words, f"hydra.sweep.dir='{NAME} {records}'")
    return found


def elements(html):
    """The elements of a text that is well-formed, by their tags."""
    whole = ElementTree.fromstring(f"<div>{html}</div>")
    return {each.tag: whole.findall(f".//{each.tag}") for each in whole.iter()}


@pytest.mark.nightly
def test_a_line_says_what_became_of_it(sweeps):
    sweep = sweeps["folders"]
    spikes = sum(len(job.result.spikes) for job in sweep.jobs.values())
    assert repr(sweep).startswith(f"<4 runs: 4 finished, {spikes} spikes; ")
    run = sweep.jobs[0]
    result = run.result
    loss = f"train loss {result.final['train_loss']:.4g}, test loss {result.final['test_loss']:.4g}"
    assert repr(run).startswith(f"<Run: finished after 30 steps, {loss}, ")
    assert f"{NAME} folders/0>" in repr(run)
    lost = replace(
        result, status="diverged", step=7, diverged_at=7, final=dict.fromkeys(result.final)
    )
    assert repr(replace(run, result=lost)).startswith(
        "<Run: diverged at step 7 after 7 steps, train loss –, test loss –, "
    )
    assert repr(replace(sweep, failed={4: ValueError()})).split(", ")[-1].startswith("1 without")
    assert repr(hw2exp.load(sweep.folder)) == repr(sweep)
    assert "\n" not in repr(Run(Path("a\nb"), {}, result))


@pytest.mark.slow
def test_a_runs_curve_is_that_of_its_folder(tmp_path):
    from matplotlib.image import imread

    run = hw2exp.run(*SHORT, f"hydra.run.dir={tmp_path}/run")
    html = run._repr_html_()
    assert len(html) < 200_000
    (text,), (image,) = (elements(html)[tag] for tag in ("p", "img"))
    assert text.text == image.get("alt") == repr(run)
    with patch.object(notebook, "DPI", DPI):
        (image,) = elements(run._repr_html_())["img"]
    content = b64decode(image.get("src").removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(imread(BytesIO(content)), imread(run.folder / "curve.png"))


@pytest.mark.parametrize("records", ["folders", "packed"])
def test_a_sweep_is_a_table_of_the_reports_measures(sweeps, records):
    sweep = sweeps[records]
    found = elements(sweep._repr_html_())
    assert found["p"][0].text == repr(sweep)
    assert [each.text for each in found["th"]] == [
        "arm", "runs", "solved", "diverged", "spikes per 1,000 steps", "test loss, median",
    ]  # fmt: skip
    cells = [list(each.itertext()) for each in found["td"]]
    for place, arm in enumerate(read_runs(sweep.folder).arms):
        measured = measure(arm)
        name, runs, solved, diverged, _, loss = cells[6 * place : 6 * place + 6]
        assert (name, runs) == ([arm.short_name], ["2"])
        ends = measured.solved.low, measured.solved.high
        assert solved == [percent(measured.solved.value), " … ".join(map(percent, ends))]
        assert diverged[0] == percent(measured.diverged.value)
        assert loss[0] == SHOWN["test_loss"][2](measured.test_loss.value)
    assert hw2exp.load(sweep.folder)._repr_html_() == sweep._repr_html_()


def test_a_long_table_ends_with_the_number_of_others(sweeps, monkeypatch):
    monkeypatch.setattr(notebook, "SHOWN_ARMS", 1)
    found = elements(sweeps["packed"]._repr_html_())
    assert len(found["tr"]) == 2
    assert found["p"][-1].text == "and 1 more arm"


def test_what_is_gone_is_said(sweeps, tmp_path):
    shutil.copytree(sweeps["folders"].folder / "0", tmp_path / "0")
    run = replace(sweeps["folders"].jobs[0], folder=tmp_path / "0")
    (tmp_path / "0" / "metrics.parquet").unlink()
    assert "its curve can't be drawn: " in run._repr_html_()
    assert elements(replace(sweeps["folders"], folder=tmp_path / "no")._repr_html_())["p"]
