"""The measures of today in the report: spike scores, sensitivity, and which measures agree."""

import math
import shutil

import numpy as np
import polars
import pytest
from scipy.stats import spearmanr

from hw2exp.diagnostics.spike_score import spike_score
from hw2exp.records.runs import read_runs
from hw2exp.report.__main__ import main
from hw2exp.report.agreement import LEAST, agreements, sensitivities
from hw2exp.report.measures import measure, with_scores


@pytest.mark.nightly
def test_an_arms_score_is_pooled_over_the_logged_steps_of_its_runs(sweep):
    arm = read_runs(sweep).arms[0]
    found = with_scores(measure(arm))
    for metric, own in (
        ("loss_train", found.spike_score),
        ("grad_norm_raw", found.grad_spike_score),
    ):
        parts = []
        for run in arm.runs.values():
            frame = polars.read_parquet(run.folder / "metrics.parquet")
            logged = frame.filter(polars.col("step") % 3 == 0)  # not the test passes between them
            assert 0 < len(logged) < len(frame)
            parts.append(spike_score(logged[metric].to_numpy(), 3))
        judged = sum(each.judged for each in parts)
        assert judged > 0
        assert own.value == sum(each.outliers for each in parts) / judged
        assert own.low <= own.value <= own.high


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """Runs at four learning rates, of two models and with a cure."""
    from hw2exp.train import main as train

    folder = tmp_path_factory.mktemp("rates") / "sweep"
    words = ["-m", "model=rnn", "clip=none,norm", "optimizer.lr=0.001,0.01,0.1,1", "seed=0,1"]
    short = ["task=easy", "steps=60", "eval_every=20", "eval_batches=2", "plot=false", "workers=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        lively = ["spikes.window=5", "spikes.margin=0.05", "spikes.deviations=2"]
        assert train([*words, *short, *lively, f"hydra.sweep.dir={folder}"]) == 0
    return folder


@pytest.mark.nightly
def test_the_tables_equal_a_plain_computation(rates, tmp_path):
    assert main([str(rates), "--out", str(tmp_path)]) == 0
    runs = polars.read_parquet(tmp_path / "runs.parquet")
    for row in polars.read_csv(tmp_path / "lr_sensitivity.csv").iter_rows(named=True):
        of = [
            runs.filter((polars.col("seed") == seed) & (polars.col("clip") == row["arms"][5:]))
            for seed in (0, 1)
        ]
        losses = [np.minimum(own["final_test_loss"], own["initial_loss"]) for own in of]
        expected = np.mean([own.mean() - own.min() for own in losses])
        assert row["lr_sensitivity"] == pytest.approx(expected)
        assert (row["rates"], row["lowest"], row["highest"], row["seeds"]) == (4, 0.001, 1.0, 2)
    arms = polars.read_csv(tmp_path / "arms.csv")
    found = polars.read_csv(tmp_path / "agreement.csv")
    (row,) = found.filter(
        (polars.col("measure") == "spikes per 1,000 steps")
        & (polars.col("other") == "test loss, median")
    ).iter_rows(named=True)
    expected = spearmanr(arms["spikes_per_1000"], arms["test_loss_median"]).statistic
    assert row["rank_correlation"] == pytest.approx(expected)
    assert (row["over"], row["number"]) == ("arms", 8)
    page = (tmp_path / "report.html").read_text()
    assert "Which measures agree" in page
    assert "How much the loss hangs on the learning rate" in page


def test_few_arms_or_rates_have_no_such_table(rates, tmp_path):
    arms = read_runs(rates).arms
    assert len(arms) == LEAST
    assert agreements([measure(arm) for arm in arms], [])
    assert not agreements([measure(arm) for arm in arms[1:]], [])
    assert len(sensitivities(arms)) == 2
    assert not sensitivities([arm for arm in arms if arm.rate < 0.1])
    shutil.copytree(rates / "0", tmp_path / "run")
    assert main([str(tmp_path / "run")]) == 0
    assert not list((tmp_path / "run/report").glob("agreement*"))
    words = (tmp_path / "run/report/report.html").read_text()
    assert "Which measures agree" not in words
    assert math.isfinite(measure(arms[0]).test_loss.value)
