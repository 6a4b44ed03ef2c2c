import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hw2exp.config.registry import CHOICES
from hw2exp.system.problems import ConfigError
from hw2exp.theory.answer import Verdict
from hw2exp.theory.answers import vanishing
from hw2exp.theory.reach import (
    MODELS,
    Reach,
    after_training,
    at_initialization,
    farthest_mark,
)
from hw2exp.theory.reach_figure import draw_reach

LAGS = np.arange(1, 101)


def falling(rate, runs=64, noise=0.05, model="gated_rnn"):
    rng = np.random.default_rng(0)
    return Reach(model, LAGS * math.log(rate) + noise * rng.standard_normal((runs, len(LAGS))))


def test_the_fitted_factor_is_that_of_a_geometric_fall():
    factors, fits = falling(0.9, noise=0).lines()
    np.testing.assert_allclose(factors, 0.9)
    np.testing.assert_allclose(fits, 1)
    np.testing.assert_allclose(falling(1.05).lines()[0], 1.05, atol=1e-3)


def test_a_line_through_what_is_none_fits_badly():
    bent = falling(0.9, noise=0)
    bent.logarithms[:, 50:] = bent.logarithms[:, 49::-1]
    assert (bent.lines()[1] < 0.1).all()


def test_what_underflows_is_left_out_of_the_fit():
    reach = falling(0.5, runs=2, noise=0)
    reach.logarithms[0, 30:] = -np.inf
    reach.logarithms[1, 9:] = np.inf
    np.testing.assert_allclose(reach.lines()[0], [0.5, np.nan])


def test_what_is_left_and_the_largest():
    rates = [0.9, 0.94, 1.0, 1.02]
    reach = Reach("rnn", np.concatenate([falling(rate, 1, 0).logarithms for rate in rates]))
    assert [reach.vanished(100, left) for left in (1e-1, 1e-2, 1e-3)] == [2, 2, 1]
    assert [reach.vanished(10, left) for left in (0.6, 0.5)] == [2, 1]
    np.testing.assert_allclose(np.exp(reach.largest()), [0.9, 0.94, 1.0, 1.02**100])


def test_the_farthest_mark_is_as_far_as_the_task_asks_to_see():
    from hw2exp.tasks.temporal_order import TemporalOrder, X

    task = TemporalOrder((100, 101), (40, 56), (70, 96))
    symbols, _ = task.batch(np.arange(200, dtype=np.uint64), 1, 32)
    marks = np.argwhere(symbols <= X + 1)[:, 2]  # X and Y are the first two
    assert symbols.shape[2] - 1 - marks.min() == farthest_mark() == 59


@pytest.mark.parametrize(
    ("rate", "others", "verdict"),
    [
        (0.5, 0.9, Verdict.FALSE),  # smaller than theirs, and gone
        (0.99, 0.9, Verdict.HOLDS),  # left, and larger
        (0.99, 1.1, Verdict.PARTLY),  # left, and smaller
        (0.95, 0.9, Verdict.PARTLY),  # left or not by what is taken for little; larger
        (0.95, 0.95, Verdict.OPEN),
    ],
)
def test_the_verdict_follows_what_was_measured(rate, others, verdict):
    found = three(rate, others)
    decided, because = vanishing.decide({"at initialization": found, "after training": found})
    assert decided is verdict
    counts = ", ".join(str(found["gated_rnn"].vanished(59, left)) for left in (1e-1, 1e-2, 1e-3))
    assert f"in {counts} of 64 runs" in because


def three(rate, others, runs=64):
    return {
        "gated_rnn": falling(rate, runs),
        "rnn": falling(others, runs, model="rnn"),
        "lstm": falling(others, runs, model="lstm"),
    }


def test_few_runs_have_no_interval():
    lines = vanishing.table("after training", {"gated_rnn": falling(0.9, runs=4)})
    assert lines[-1].split()[:3] == ["gated_rnn", "0.900", "1.0"]
    lines = vanishing.table("after training", {"gated_rnn": falling(0.9)})
    assert lines[-1].split()[1:4] == ["0.900", "[0.900,", "0.900]"]


def test_where_nothing_is_left_at_all_there_is_no_line():
    gone = falling(0.9)
    gone.logarithms[:] = -np.inf
    lines = vanishing.table("after training", {"gated_rnn": gone})
    assert lines[-1].split() == ["gated_rnn", "none", "–", "10^-inf", "64/64", "10^-inf"]


def test_half_of_the_answer_is_no_answer():
    decided, because = vanishing.decide({"at initialization": three(0.5, 0.9)})
    assert decided is Verdict.OPEN
    assert because.endswith("after training: not measured")
    alone = {"gated_rnn": falling(0.5)}
    decided, because = vanishing.decide({"at initialization": alone, "after training": alone})
    assert decided is Verdict.OPEN
    assert "there is neither rnn nor lstm to compare" in because
    without = {"rnn": falling(0.9)}
    assert vanishing.decide({"at initialization": without})[0] is Verdict.OPEN


def test_a_few_runs_do_not_decide():
    few = three(0.99, 0.99, runs=6)
    few["gated_rnn"].logarithms[:2, 58] = -100
    decided, because = vanishing.decide({"at initialization": few, "after training": few})
    assert decided is Verdict.OPEN
    assert "can't be said to vanish or not (in 2, 2, 2 of 6 runs)" in because


def test_at_initialization_every_model_is_measured():
    found = at_initialization(seeds=2)
    assert list(found) == [*MODELS, "lstm, c"]
    assert all(reach.logarithms.shape == (2, 100) for reach in found.values())
    assert found["gated_rnn"].vanished(100, 1e-3) == 2
    assert found["attn_rnn_inf"].vanished(100, 1e-3) == 0
    assert all(reach.trained is None for reach in found.values())


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    from hw2exp.train import main

    folder = tmp_path_factory.mktemp("reach") / "sweep"
    words = ["-m", "experiment=gradient_reach", "model=gated_rnn,lstm", "seed=0,1,2", "steps=3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert main([*words, "eval_batches=1", f"hydra.sweep.dir={folder}", "plot=false"]) == 0
    return folder


@pytest.mark.slow
def test_trained_networks_are_read_from_their_sweep(sweep):
    found, left_out = after_training(sweep)
    assert left_out == ()
    assert list(found) == ["gated_rnn", "lstm", "lstm, c"]
    untrained = at_initialization(seeds=3)
    for name, reach in found.items():
        assert (reach.trained.solved, reach.trained.diverged) == (0, 0)
        assert reach.vanished(100, 1e-3) == 3
        assert (reach.logarithms != untrained[name].logarithms).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: [p.unlink() for p in folder.glob("*/result.json")], "holds no run"),
        (
            lambda folder: (folder / "0" / "parameters.safetensors").unlink(),
            "its parameters can't be read",
        ),
        (
            lambda folder: (folder / "0" / "parameters.safetensors").write_bytes(b"x" * 99),
            "its parameters can't be read",
        ),
        (lambda folder: change_config(folder / "0", '"lr": 0.003', '"lr": 0.1'), "differ in more"),
        (
            lambda folder: [change_config(folder / k, '"steps": 3,', '"steps": 4,') for k in "012"],
            "its models differ in steps: 4 and 3",
        ),
        (lambda folder: swap_parameters(folder / "0", folder / "3"), "are not of its model"),
    ],
)
def test_a_folder_that_cannot_serve_is_refused(sweep, tmp_path, damage, message):
    import shutil

    shutil.copytree(sweep, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(ConfigError, match=message):
        after_training(tmp_path / "copy")


def test_runs_that_cannot_be_read_are_counted(sweep, tmp_path, forget_config):
    import shutil

    shutil.copytree(sweep, tmp_path / "copy")
    forget_config(tmp_path / "copy" / "0")
    (tmp_path / "copy" / "0" / ".hydra" / "config.yaml").write_text("model: 3")
    (tmp_path / "copy" / "1" / "result.json").write_text("{")
    found, left_out = after_training(tmp_path / "copy")
    assert len(found["gated_rnn"].logarithms) == 1
    models = ", ".join(sorted(CHOICES["model"]))
    assert left_out == (
        f"1 run left out: model=3: no such choice; allowed: {models} (0)",
        "1 run left out: config or result can't be read (1)",
    )


def test_runs_of_another_task_are_refused(tmp_path):
    from hw2exp.train import main

    words = ["model=rnn", "task=easy", "steps=2", f"hydra.run.dir={tmp_path}/run"]
    assert main([*words, "eval_batches=1", "plot=false"]) == 0
    with pytest.raises(ConfigError, match=r"have task\.length=\[7,9\] t1=\[1,3\] t2=\[4,6\]; must"):
        after_training(tmp_path)


def swap_parameters(run, other):
    """Another model's, with the digest that goes with them."""
    import shutil

    shutil.copy(other / "parameters.safetensors", run / "parameters.safetensors")
    path = run / "result.json"
    digest = json.loads((other / "result.json").read_text())["parameters_sha256"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parameters_sha256": digest}))


def change_config(run, old, new):
    path = run / "result.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_run_under_batch_norm_is_refused(tmp_path):
    from hw2exp.train import main

    words = ["norm=batch", "model=rnn", "task=easy", "steps=2", f"hydra.run.dir={tmp_path}/run"]
    assert main([*words, "eval_batches=1", "plot=false"]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    with pytest.raises(ConfigError, match="norm=batch; must be none"):
        after_training(tmp_path)


def test_the_figure_has_a_panel_for_each_state(tmp_path):
    found = {"gated_rnn": falling(0.9), "rnn": replace(falling(0.8), model="rnn")}
    draw_reach({"at initialization": found, "after training": found}, tmp_path / "reach.svg")
    assert (tmp_path / "reach.svg").stat().st_size > 10_000
