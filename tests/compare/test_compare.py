"""What tells runs apart is told, and nothing else."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.compare.__main__ import main
from hw2exp.compare.columns import Column, ComparedRun, _read_below, read_columns
from hw2exp.compare.rows import ABSENT, Row, _cell, _listed, config_of, differing, results
from hw2exp.compare.table import table_of
from hw2exp.config.command_line import read
from hw2exp.records.arms import Run
from hw2exp.records.metrics import digest_of_frame, read_metrics
from hw2exp.system.problems import show

SHORT = [
    "task=easy", "steps=40", "eval_every=20", "eval_batches=2", "log_every=4", "plot=false",
    "spikes.window=5", "workers=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs and sweeps, really run."""
    from hw2exp.train import main as train

    folder = tmp_path_factory.mktemp("compare")
    made = {
        "faster": ["model=rnn", "optimizer.lr=0.02", "spikes.margin=0.05", "spikes.deviations=2"],
        "lags": ["model=attn_rnn", "model.lags=3"],
        "seldom": ["model=rnn", "log_every=20"],
    }
    sweep = ["-m", "seed=range(0,3)", "clip=none,norm"]
    copied = {"plain": "sweep_rnn/0", "again": "sweep_rnn/0", "gated": "sweep_gated_rnn/0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in made.items():
            assert train([*SHORT, *words, f"hydra.run.dir={name}"]) == 0
        for model in ("rnn", "gated_rnn"):
            words = [*sweep, f"model={model}", f"hydra.sweep.dir=sweep_{model}"]
            assert train([*SHORT, *words]) == 0
    for name, job in copied.items():
        shutil.copytree(folder / job, folder / name)
    return folder


def result_of(folder):
    return json.loads(Path(folder, "result.json").read_text())


def change_result(folder, **changes):
    Path(folder, "result.json").write_text(json.dumps(result_of(folder) | changes))


@pytest.fixture
def shown(runs, tmp_path, monkeypatch, capsys):
    """Copies of the runs, where the command may be tried; returns what it prints, by row."""
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    capsys.readouterr()

    def show(*words, status=0):
        assert main(words) == status
        shown.text, shown.told = capsys.readouterr()
        rows = [re.split(r" {2,}", line.strip()) for line in shown.text.splitlines()]
        return {row[0]: row[1:] for row in rows if row}

    shown = show
    return show


def test_two_rates(shown):
    rows = shown("plain", "faster")
    assert (rows["A"], rows["B"]) == (["plain"], ["faster"])
    config = shown.text.split("config ")[1].split("\nresult ")[0].splitlines()[1:]
    assert [line.split() for line in config if line] == [
        ["optimizer.lr", "0.001", "0.02"],
        ["spikes.margin", "0.3", "0.05"],
        ["spikes.deviations", "6.0", "2.0"],
    ]
    a, b = (result_of(name) for name in ("plain", "faster"))
    assert rows["status"] == ["finished", "finished", "="]
    assert rows["initial loss"] == [f"{a['initial']['loss']:.4g}"] * 2 + ["="]
    assert rows["test loss"] == [f"{each['final']['test_loss']:.4g}" for each in (a, b)]
    assert rows["spikes"][1] == str(len(b["spikes"])) != "0"
    assert rows["above initial"][1] == str(sum(spike["above_initial"] for spike in b["spikes"]))
    assert rows["largest spike"] == ["–", f"{max(spike['loss'] for spike in b['spikes']):.4g}"]
    largest = polars.read_parquet("faster/metrics.parquet")["grad_norm_raw_max"].max()
    assert rows["largest |grad|"][1] == f"{largest:.4g}"
    assert rows["parameters"] == [each["parameters_sha256"][:8] for each in (a, b)]
    assert "same run" not in shown.text
    assert "versions" not in shown.text
    assert shown.told == ""


def test_the_same_run_twice(shown):
    rows = shown("plain", "again", "faster")
    assert rows["A and B are the same run, bit for bit"] == []
    assert rows["test loss"][0] == rows["test loss"][1]
    rows = shown("plain", "again")
    assert "config" not in rows
    assert rows["no key of the configs differs"] == []
    assert all(cells[-1] == "=" for label, cells in rows.items()
               if len(cells) == 3 and label not in ("result", "seconds"))  # fmt: skip
    assert rows["metrics"][-1] == "="


def test_keys_that_only_one_model_has(shown):
    rows = shown("plain", "gated", "lags")
    assert rows["model"] == ["rnn", "gated_rnn", "attn_rnn"]
    assert rows["model.nonlinearity"] == ["tanh", "–", "–"]
    assert rows["model.lags"] == ["–", "–", "3"]
    assert list(rows).index("model.lags") < list(rows).index("status")


def test_a_sweep_against_a_sweep(shown):
    rows = shown("sweep_rnn", "sweep_gated_rnn")
    assert (rows["A"], rows["B"]) == (["sweep_rnn (6 runs)"], ["sweep_gated_rnn (6 runs)"])
    assert rows["model"] == ["rnn", "gated_rnn"]
    assert not {"seed", "clip"} & rows.keys()
    assert rows["status"] == ["6 finished", "6 finished", "="]
    values = [result_of(f"sweep_rnn/{job}")["final"]["test_loss"] for job in range(6)]
    low, high = np.quantile(values, [0.25, 0.75], method="inverted_cdf")
    assert rows["test loss"][0] == f"{np.median(values):.4g} [{low:.4g}, {high:.4g}]"
    assert "parameters" not in rows


def test_a_run_against_the_sweep_that_holds_it(shown):
    rows = shown("plain", "sweep_rnn")
    assert rows["A and B have 1 run in common, bit for bit"] == []
    assert rows["clip"] == ["none", "none, norm"]
    assert rows["seed"] == ["0", "0, 1, 2"]


def test_one_sweep_is_divided_into_runs_or_arms(shown, monkeypatch):
    rows = shown("sweep_rnn")
    assert (rows["A"], rows["F"]) == (["sweep_rnn/0"], ["sweep_rnn/5"])
    assert rows["seed"] == ["0", "0", "1", "1", "2", "2"]
    monkeypatch.setattr("hw2exp.compare.columns.MOST", 5)
    shutil.copytree("sweep_rnn/0", "sweep_rnn/copy")
    rows = shown("sweep_rnn")
    assert (rows["A"], rows["B"]) == (["clip=none (3 runs)"], ["clip=norm (3 runs)"])
    assert rows["clip"] == ["none", "norm"]
    assert "sweep_rnn: 1 run left out: another has its settings and seed" in shown.told


def test_more_arms_than_columns_are_one_column(shown, monkeypatch):
    monkeypatch.setattr("hw2exp.compare.columns.MOST", 1)
    rows = shown("sweep_rnn")
    assert rows["A"] == ["sweep_rnn (6 runs)"]
    assert rows["clip"] == ["none, norm"]
    assert "sweep_rnn: 2 arms in one column" in shown.told


def change_metrics(folder, change):
    """Metrics of another course, with a result that knows of them."""
    path = Path(folder, "metrics.parquet")
    change(polars.read_parquet(path)).write_parquet(path)
    change_result(folder, metrics_sha256=digest_of_frame(read_metrics(path)))


def test_where_two_runs_part_that_should_not(shown):
    def change(frame):
        loss = frame["loss_train"].to_list()
        loss[4] = np.nextafter(loss[4], 2)
        return frame.with_columns(polars.Series("loss_train", loss))

    was = polars.read_parquet("again/metrics.parquet")["loss_train"][4]
    change_metrics("again", change)
    change_result("again", versions=result_of("again")["versions"] | {"torch": "0.1"})
    rows = shown("plain", "again")
    assert "A and B have the same config, but other digests:" in shown.text
    assert (
        "their metrics part at step 20, and agree until step 16 (of the 10 steps that both have "
        "logged)"
    ) in shown.text
    assert f"loss_train is {was!r} and {float(np.nextafter(was, 2))!r}" in shown.text
    assert rows["torch"][1] == "0.1"
    assert rows["versions"] == ["A", "B"]
    assert "part at" not in (shown("plain", "again", "faster"), shown.text)[1]


def test_runs_of_other_configs_are_the_same_until_they_part(shown):
    def change(frame):
        later = polars.col("step") > 16
        loss = polars.when(later).then(9.0).otherwise("loss_train")
        return frame.with_columns(loss.alias("loss_train"))

    change_metrics("sweep_rnn/1", change)  # with clipping at a norm that is not reached
    shown("sweep_rnn/0", "sweep_rnn/1")
    assert "A and B have the same training loss up to step 16" in shown.text
    shown("sweep_rnn/0", "sweep_rnn/2")  # another seed
    assert "the same training loss" not in shown.text


def test_runs_logged_at_other_steps_agree_where_both_are(shown):
    shown("plain", "seldom")
    assert "A and B end with the same parameters, bit for bit; their metrics differ" in shown.text
    assert "their metrics agree at all of the 2 steps that both have logged" in shown.text


def test_what_is_not_measured_is_the_same_as_itself(shown):
    for name in ("plain", "again"):
        change_metrics(name, lambda frame: frame.with_columns(loss_train_max=float("nan")))
    change_metrics("again", lambda frame: frame.drop("update_norm_max"))
    rows = shown("plain", "again")
    assert "agree at all of the 10 steps" in shown.text
    assert rows["largest update"][1] == "–"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("result.json", b'{"step": "x"}', "result.json: "),
        ("result.json", None, "has no result; interrupted, or still running"),
        (".hydra/config.yaml", b"model: {name: leaky_rnn}", "model=leaky_rnn: no such choice"),
        (".hydra/config.yaml", b"[" * 9, ".hydra/config.yaml can't be read"),
        ("metrics.parquet", b"PAR1", "metrics can't be read"),
        ("metrics.parquet", None, "metrics are missing"),
    ],
)
def test_a_damaged_run_is_told_of_and_left_out(name, content, why, shown, forget_config):
    if name.startswith(".hydra"):
        forget_config(Path("again"))
    os.unlink(f"again/{name}")
    if content is not None:
        Path("again", name).write_bytes(content)
    rows = shown("plain", "again", "faster", status=1)
    assert rows["B"] == ["faster"]
    assert shown.told.startswith(f"hw2exp: warning: again left out: {why}")
    assert shown.told.count("\n") == 1


@pytest.mark.parametrize("name", ["a", "json", "x+y"])
def test_a_message_loses_the_folder_that_it_is_about_and_no_other(name, tmp_path, monkeypatch):
    """Not every ``a/`` in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / name / ".hydra/config.yaml").touch()

    def refused(path):
        own = path / name
        yield own, ValueError(f"{own}/result.json: data/{name}/x, schema/y and '{own}/metrics'")

    monkeypatch.setattr("hw2exp.compare.columns.runs_below", refused)
    told = []
    assert _read_below(Path(), told) == ([], 1)
    assert told == [f"{name} left out: result.json: data/{name}/x, schema/y and 'metrics'"]


def test_runs_are_in_the_order_of_their_numbers(shown):
    for job in ("10", "8", "b9", "b10"):
        shutil.copytree("again", f"jobs/{job}")
    shown("jobs")
    legend = [line.split() for line in shown.text.splitlines()[:4]]
    assert legend == [["A", "jobs/8"], ["B", "jobs/10"], ["C", "jobs/b9"], ["D", "jobs/b10"]]


def test_many_damaged_runs_are_counted(shown, monkeypatch):
    monkeypatch.setattr("hw2exp.compare.columns.MOST_NOTES", 2)
    for job in range(4):
        os.unlink(f"sweep_rnn/{job}/result.json")
    shown("sweep_rnn", status=1)
    lines = shown.told.splitlines()
    assert len(lines) == 3
    assert lines[-1].endswith("sweep_rnn: 2 more runs left out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plain", "nowhere"], "nowhere: no such folder"),
        (["plain", "file"], "file: not a folder"),
        (["plain", ""], "'': must be a path"),
        (["plain"], "only one run; a comparison needs two or more"),
        (["empty"], "empty left out: holds no run | no run that can be read; a comparison needs"),
        (["empty", "plain"], "empty left out: holds no run | only one run; a comparison needs"),
        ([], "the following arguments are required: DIR; see --help"),
        (["plain", "--deep"], "unrecognized arguments: --deep; see --help"),
        (["x" * 300], f"{60 * 'x'}…{19 * 'x'}: has a name of more than 255"),
    ],
)
def test_bad_input_is_one_line(words, message, shown, capsys):
    os.mkdir("empty")
    Path("file").touch()
    before = sorted(os.listdir())
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert error.startswith(f"hw2exp: {message}")
    assert (error.count("\n"), out, sorted(os.listdir())) == (1, "", before)


def test_forged_texts_leave_the_terminal_as_it_is(shown):
    for name in ("plain", "again"):
        change_result(name, versions={" \x1b[2J": f" \x1b[31m{name}[/]"})
    shown("plain", "again")
    assert "\x1b" not in shown.text
    assert "\\x1b[31magain[/]" in shown.text


@pytest.mark.parametrize("width", [30, 80, 200])
def test_columns_that_do_not_fit_stand_below(shown, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    shown("plain", "gated", "lags", "faster", "seldom", "sweep_rnn", "sweep_gated_rnn")
    table = shown.text[: shown.text.index("\nA and E end with")]
    assert max(map(len, table.splitlines())) <= width
    heads = re.findall(r"^result +(.*)$", shown.text, flags=re.MULTILINE)
    assert " ".join(heads).split() == list("ABCDEFG")
    assert (len(heads) == 1) == (width == 200)


@cache
def composed():
    """Configs by model and clipping."""
    jobs = read(["-m", "model=rnn,lstm,attn_rnn", "clip=none,norm,zclip"]).jobs
    return {(job.config.model.name, job.config.clip.name): job.config for job in jobs}


CHOSEN = st.fixed_dictionaries({
    "model": st.sampled_from(["rnn", "lstm", "attn_rnn"]),
    "clip": st.sampled_from(["none", "norm", "zclip"]),
    "optimizer.lr": st.sampled_from([0.01, 0.001]),
    "seed": st.integers(0, 3),
})  # fmt: skip


def column(mark, chosen):
    config = composed()[chosen["model"], chosen["clip"]]
    optimizer = config.optimizer.model_copy(update={"lr": chosen["optimizer.lr"]})
    own = config.model_copy(update={"seed": chosen["seed"], "optimizer": optimizer})
    return Column(mark, mark, [ComparedRun(Run(None, own, None), None, None)])


@settings(max_examples=40)  # the first composes
@given(CHOSEN, CHOSEN)
def test_keys_differ_where_their_values_do(one, other):
    a, b = column("A", one), column("B", other)
    assert differing([a, a], config_of) == []
    rows = {row.label: row.cells for row in differing([a, b], config_of)}
    assert {key for key in one if key in rows} == {key for key in one if one[key] != other[key]}
    assert all(cells[0] != cells[1] for cells in rows.values())
    assert {key.split(".")[0] for key in set(rows) - set(one)} <= {"model", "clip"} & set(rows)


def test_a_run_against_itself_differs_in_nothing(runs):
    for name in ("plain", "lags", "sweep_rnn"):
        columns = read_columns([runs / name, runs / name]).columns
        assert differing(columns, config_of) == []
        assert all(row.same for row in results(columns) if row.label != "runs")


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([2.0e8], "2e+08"),
        ([123456], "123456"),
        ([None], "–"),
        ([math.nan], "not finite"),
        ([100000, 100001], "100000.5 [100000, 100001]"),
        ([1.0, math.inf, math.inf], "∞ [1, ∞]"),
        ([7, None, 7], "7, of 2"),
    ],
)
def test_how_numbers_are_written(values, cell):
    assert _cell(values) == cell


def test_how_the_values_of_a_key_are_listed():
    assert _listed(["b", ABSENT], show) == "b, –"
    assert _listed([ABSENT, 10, 8], show) == "8, 10, –"
    assert _listed([0.1, 1e-05, 0.003], show) == "1e-05, 0.003, 0.1"
    assert _listed([(100, 120), (30, 41)], show) == "[30,41], [100,120]"
    assert _listed([10, 9, 2**63 - 1, ABSENT], show) == f"9 … {2**63 - 1} (4)"
    assert _listed(["a", 1, 2, 3], show) == "4 values"
    assert _listed(["1.10", "1.9"], str) == "1.10, 1.9"


def test_a_text_like_markup_is_a_text():
    text = table_of(["A"], {"config": [Row("x", ["[bold]1[/bold] [2, 3]"])]}, 80, color=False)
    assert "[bold]1[/bold] [2, 3]" in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from hw2exp.compare.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'polars', 'hydra', 'rich'} "
        "& set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
