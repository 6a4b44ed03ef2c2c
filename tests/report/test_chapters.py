"""A report of several chapters, and what figures and claims of special runs say."""

import json
import os
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from hw2exp.records.metrics import digest_of_frame, read_metrics
from hw2exp.records.runs import read_runs
from hw2exp.report.__main__ import main
from hw2exp.report.aftermath import Stage, aftermath
from hw2exp.report.claim import Evidence, Finding
from hw2exp.report.claims import judge
from hw2exp.report.published import (
    ENDING_WELL,
    ENDS_WELL,
    EPOCH,
    PLATEAUS,
    SPIKE,
    SPIKING,
    published,
)
from hw2exp.train import main as train


def sweep_into(folder, *words):
    assert train(["-m", *words, f"hydra.sweep.dir={folder}", "workers=2", "plot=false"]) == 0
    return folder


@pytest.fixture
def study(sweep, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(sweep, folder / "first")
    shutil.copytree(sweep / "0", folder / "second" / "0")
    return folder


def write(folder, text):
    (folder / "report.yaml").write_text(textwrap.dedent(text))


@pytest.mark.slow
def test_a_page_has_the_chapters_that_its_folder_names(study):
    write(
        study,
        """
        title: Many & few
        text: Two chapters.
        chapters:
          - {folder: second, title: One run, figures: [curves], claims: false}
          - {folder: first, title: All runs, text: A <paragraph>.}
          - {folder: missing, title: Not run}
        """,
    )
    assert main([str(study)]) == 0
    page = (study / "report" / "report.html").read_text()
    assert "<title>Many &amp; few</title>" in page
    assert "A &lt;paragraph&gt;." in page
    assert page.index("One run</h2>") < page.index("All runs</h2>")
    assert "Not run" not in page
    assert "17 runs in 5 arms" in page
    assert "All runs: rmsprop clip=norm" in page
    assert "One run: all runs" not in page  # it decides no claim
    assert sorted(path.name for path in (study / "report" / "second").iterdir()) == [
        "arms.csv", "arms.parquet", "curves.png", "curves.svg", "runs.csv", "runs.parquet",
    ]  # fmt: skip
    assert (study / "report" / "first" / "comparisons.csv").exists()
    assert 'id="arms"' in page
    assert 'id="arms_1"' in page


@pytest.fixture
def report_of(tmp_path):
    def make(folder):
        assert main([str(folder), "--out", str(tmp_path / "out")]) == 0
        return (tmp_path / "out" / "report.html").read_text()

    return make


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: x", "report.yaml: chapters: Field required"),
        ("title: x\nchapters: []", "report.yaml: chapters:"),
        ("title: x\nchapters: [{folder: ../first, title: y}]", "must be a folder below"),
        ("title: x\nchapters: [{folder: /tmp, title: y}]", "must be a folder below"),
        ("title: x\nchapters: [{folder: first, title: ''}]", "each must have a title"),
        (
            "title: x\nchapters: [{folder: first, title: y}, {folder: ./first, title: z}]",
            "each must have a folder of its own",
        ),
        ("title: x\nchapters: [{folder: nowhere, title: y}]", "holds none of the folders"),
        ("title: x\nchapters: [{folder: first, title: y, figures: [pie]}]", "figures.0"),
        ("title: [", "can't be read"),
        ("just text", "report.yaml: the file:"),
        ("[" * 10_000, "nested too deep"),
        ("title: x\ntitle: y", "report.yaml, line 2: title stands there twice"),
        (f"title: x\nchapters: [{{folder: {'x' * 300}, title: y}}]", "more than 255 bytes"),
        ('title: x\nchapters: [{folder: "a\\0", title: y}]', "has control characters"),
    ],
)
def test_a_bad_plan_is_one_line(study, text, message, capsys):
    write(study, text)
    assert main([str(study)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (study / "report").exists()


@pytest.mark.parametrize("kind", ["fifo", "device", "nothing", "folder"])
def test_a_plan_that_is_no_file_is_one_line(study, kind, capsys):
    path = study / "report.yaml"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    assert main([str(study)]) == 2
    error = capsys.readouterr().err
    assert "report.yaml" in error
    assert error.count("\n") == 1
    assert not (study / "report").exists()


def test_a_chapter_stays_below_the_report(study, tmp_path, capsys):
    write(study, "{title: x, chapters: [{folder: second, title: y, figures: []}]}")
    for place in ("elsewhere", "study/report"):
        (tmp_path / place).mkdir()
    link = study / "report" / "second"
    link.symlink_to(tmp_path / "elsewhere")
    assert main([str(study)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hw2exp: report.yaml: folder=second: leads out of {study}/report;")
    assert error.count("\n") == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert list((study / "report").iterdir()) == [link]


@pytest.mark.nightly
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_a_run_that_was_forged_throughout_has_a_page(braked, tmp_path, rows, report_of):
    """Fewer rows than steps, spikes where there are none, and digests that agree."""
    shutil.copytree(braked / "0", tmp_path / "forged")
    path = tmp_path / "forged" / "metrics.parquet"
    polars.read_parquet(path).head(rows).write_parquet(path)
    spike = {"step": 700, "start": 700, "end": 700, "loss": -1.0, "median": 1.0}
    spikes = [spike | {"above_initial": True, "after_explosion": True}]
    result = json.loads(path.with_name("result.json").read_text())
    forged = result | {"spikes": spikes, "metrics_sha256": digest_of_frame(read_metrics(path))}
    path.with_name("result.json").write_text(json.dumps(forged))
    assert "1 run in 1 arm" in report_of(tmp_path / "forged")


@pytest.mark.parametrize("name", ["multirun.yaml", "0/.hydra/overrides.yaml"])
def test_records_of_commands_that_never_end_are_passed_over(sweep, tmp_path, name, report_of):
    shutil.copytree(sweep, tmp_path / "sweep")
    (tmp_path / "sweep" / "multirun.yaml").unlink()
    (tmp_path / "sweep" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "sweep" / name)
    assert "python -m hw2exp.report" in report_of(tmp_path / "sweep" / "0")


def test_explosions_of_before_updates_were_kept_say_nothing(braked, tmp_path):
    shutil.copytree(braked, tmp_path / "old")
    for path in (tmp_path / "old").glob("*/metrics.parquet"):
        polars.read_parquet(path).drop("update_norm_max").write_parquet(path)
        result = path.with_name("result.json")
        own = {"metrics_sha256": digest_of_frame(read_metrics(path))}
        result.write_text(json.dumps(json.loads(result.read_text()) | own))
    arms = read_runs(tmp_path / "old").arms
    assert len(arms) == 2
    assert [aftermath(arm) for arm in arms] == [None, None]


@pytest.fixture(scope="module")
def braked(tmp_path_factory):
    """Runs whose gradients explode, logged at every step."""
    words = ["experiment=brake", "clip=none,norm", "steps=700", "seed=range(0,4)"]
    lively = ["optimizer.lr=3e-3", "eval_every=350", "eval_batches=1"]
    return sweep_into(tmp_path_factory.mktemp("brake") / "sweep", *words, *lively)


def test_what_follows_an_explosion(braked):
    arm = next(arm for arm in read_runs(braked).arms if not arm.cures)
    found = aftermath(arm).stages
    assert Stage.PLATEAU in found
    for around in found.values():
        assert around.bursts <= around.explosions
        assert around.updates.shape == (around.runs, len(around.steps))
        assert around.updates[:, around.steps == 0].mean() > 1  # the explosion's own step
        assert (np.diff(around.begun) >= 0).all()
        assert around.begun[-1] == pytest.approx(around.spikes.value)
    before = np.median(found[Stage.PLATEAU].updates[:, found[Stage.PLATEAU].steps < 0])
    assert 0.5 < before < 2  # what is relative to the steps before


def test_runs_that_skip_steps_say_nothing_of_the_brake(sweep):
    assert aftermath(read_runs(sweep).arms[0]) is None


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    words = ["experiment=notebook_lstm_moderate", "clip=none,norm", "seed=range(0,3)"]
    short = [f"steps={3 * EPOCH}", "eval_batches=2"]
    return sweep_into(tmp_path_factory.mktemp("notebook") / "sweep", *words, *short)


@pytest.mark.nightly
def test_the_published_curve_is_read_by_epoch(notebook):
    arms = read_runs(notebook).arms
    found = published(arms)
    assert [each.arm.cures for each in found] == ["", "clip=norm"]
    for each in found:
        assert each.train.shape == (3, 3)
        runs = each.arm.runs.values()
        for run, own, test in zip(runs, each.train, each.test, strict=True):
            rows = polars.read_parquet(run.folder / "metrics.parquet")
            assert rows["step"].to_list() == [31, 62, 93]
            assert rows["loss_train"].to_list() == own.tolist()
            assert rows["loss_test_last"].to_list() == test.tolist()
        assert each.plateau.tolist() == [np.inf] * 3
        assert each.spiking == each.ending_well == 0


def made_like(found, train, accuracy):
    return replace(found, train=np.array(train), test=np.array(train), accuracy=np.array(accuracy))


def test_shapes_of_the_published_curve(notebook):
    first = published(read_runs(notebook).arms)[0]
    found = made_like(
        first, [[1.39, 1.38, 1.1, 0.5], [1.39, 1.2, 1.6, 0.9], [1.39, 1.39, 1.39, np.inf]],
        [0.95, 0.94, 0],
    )  # fmt: skip
    assert found.plateau.tolist() == [2, 1, np.inf]
    assert found.spiking == 2
    assert found.ending_well == 1


def plateaus_of(lengths):
    """Training losses that leave the plateau after so many epochs, and spike then."""
    return [[1.39] * length + [1.0, 2.0] + [1.0] * (98 - length) for length in lengths]


def judged_of_the_notebook(arms):
    return {
        claim.words: own for claim, own in judge(Evidence(arms)) if claim.part == "the notebook"
    }


def test_claims_of_the_published_curve_follow_its_data(notebook, monkeypatch):
    arms = read_runs(notebook).arms
    (stays, *_), *_ = judged_of_the_notebook(arms).values()
    assert stays.finding is Finding.REFUTED  # three epochs are too few to leave it
    first = published(arms)[0]
    accuracy = [1.0] * 11 + [0.5] * 5

    def found(lengths):
        ours = made_like(first, plateaus_of(lengths), accuracy)
        monkeypatch.setattr("hw2exp.report.published.published", lambda arms: [ours])
        return [own.finding for (own,) in judged_of_the_notebook(arms).values()]

    assert found(PLATEAUS) == [Finding.SUPPORTED] * 3
    longer = [int(1.5 * length) for length in PLATEAUS]
    assert found(longer) == [Finding.REFUTED, Finding.SUPPORTED, Finding.SUPPORTED]


def test_the_reference_of_the_published_curve_is_its_table():
    """docs/study/notebook/reference.csv is what scripts/notebook_reference.py has measured."""
    table = Path(__file__).parents[2] / "docs" / "study" / "notebook" / "reference.csv"
    runs = polars.read_csv(table)
    assert runs["seed"].to_list() == list(range(1, 17))
    assert tuple(runs["plateau"].to_list()) == PLATEAUS
    assert ((runs["highest_loss"] > SPIKE).sum(), len(runs)) == SPIKING
    assert ((runs["test_accuracy"] >= ENDS_WELL).sum(), len(runs)) == ENDING_WELL


def test_other_lstms_are_not_the_published_one(sweep):
    assert published(read_runs(sweep).arms) == []


@pytest.mark.nightly
def test_many_arms_have_a_figure_for_each_setting(tmp_path):
    words = ["model=rnn,gated_rnn", "task=easy", "steps=20", "eval_every=20", "eval_batches=1"]
    rates = "optimizer.lr=" + ",".join(f"{1e-3 * (1 + n):g}" for n in range(7))
    folder = sweep_into(tmp_path / "many", *words, rates, "clip=none,norm", "seed=0,1")
    assert main([str(folder)]) == 0
    names = {path.name for path in (folder / "report").glob("*.png")}
    # No figure of cures: 20 steps are too few for a spike.
    assert names == {"curves_gated_rnn_rmsprop.png", "curves_rnn_rmsprop.png", "rates.png"}
