"""From Python: the same as the commands, with the results as frames."""

import signal
import subprocess
import sys

import polars
import pytest

import hw2exp
from hw2exp.config.problems import ConfigError
from hw2exp.records.run_dir import read_result
from hw2exp.train import main

SHORT = ("task=easy", "steps=30", "eval_every=10", "eval_batches=2", "log_every=5", "plot=false")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_what_the_command_makes(here):
    seen = "diagnostics.flow_every=10"
    run = hw2exp.run("model=rnn", *SHORT, seen, "hydra.run.dir=a")
    assert main(["model=rnn", *SHORT, seen, "hydra.run.dir=b"]) == 0
    command = read_result(here / "b")
    assert run.folder == here / "a"
    assert run.result.parameters_sha256 == command.parameters_sha256
    assert run.result.metrics_sha256 == command.metrics_sha256
    assert run.config["model.name"] == "rnn"
    assert run.metrics.equals(polars.read_parquet("b/metrics.parquet"))
    assert run.diagnostics.equals(polars.read_parquet("b/diagnostics.parquet"))
    assert {path.name for path in (here / "a").rglob("*.yaml")} == {
        path.name for path in (here / "b").rglob("*.yaml")
    }


def test_a_sweep_gives_frames(here):
    sweep = hw2exp.sweep("model=rnn,lstm", "seed=0,1", "init.readout_scale=1,50", *SHORT)
    assert sorted([*sweep.jobs, *sweep.failed]) == list(range(8))
    assert len(sweep.failed) == 4  # those whose logits start too large
    assert all("initial loss" in str(error) for error in sweep.failed.values())
    results = sweep.results
    assert results["job"].to_list() == sorted(sweep.jobs)
    # What all that ended have in common is left out.
    assert {"model.name", "seed", "status", "test_loss"} <= {*results.columns}
    assert "init.readout_scale" not in results.columns
    assert set(results["status"]) == {"finished"}
    joined = sweep.metrics.join(results, on="job")
    assert joined.height == 4 * 6
    assert sweep.folder.parent.parent == here / "outputs"
    alone = hw2exp.run("model=lstm", "seed=1", *SHORT)
    (same,) = (
        job
        for job in sweep.jobs.values()
        if job.config["model.name"] == "lstm" and job.config["seed"] == 1
    )
    assert same.result.parameters_sha256 == alone.result.parameters_sha256


@pytest.mark.parametrize(
    ("subdir", "flags"),
    [
        ("${model.name}/x/${seed}", ()),
        ("${hydra.job.override_dirname}", ()),
        ("at/${hydra.job.override_dirname}", ("hydra/launcher=basic", "hydra/sweeper=basic")),
    ],
)
def test_a_sweep_knows_its_folder_whatever_its_jobs_are_called(here, capsys, subdir, flags):
    words = ("model=rnn", "seed=0,1", *SHORT, *flags, f"hydra.sweep.subdir={subdir}")
    first = hw2exp.sweep(*words, "hydra.sweep.dir=s")
    again = hw2exp.sweep(*words, "resume=s")
    assert first.folder == again.folder == here / "s"
    assert [job.folder for job in again.jobs.values()] == [
        job.folder for job in first.jobs.values()
    ]
    assert len(list(here.glob("s/**/result.json"))) == 2
    said = capsys.readouterr().out
    if not flags:
        assert said.count("2 jobs → s\n") == 2
        assert said.count("look at   s/\n") == 2
        assert "2 of 2 jobs have their result" in said


def test_a_sweep_without_any_result_is_an_error(here):
    with pytest.raises(RuntimeError, match=r"none of 2 jobs has a result; .* loss"):
        hw2exp.sweep("model=rnn", "seed=0,1", "init.readout_scale=50", *SHORT)


@pytest.mark.slow
def test_a_script_that_is_piped_can_sweep(here):
    sizes = ", ".join(map(repr, SHORT))
    script = f"""import hw2exp
if __name__ == "__main__":
    sweep = hw2exp.sweep("model=rnn", "seed=0,1", "workers=2", {sizes})
    print(sorted(sweep.jobs), sweep.failed)
"""
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[0, 1] {}" in done.stdout


@pytest.mark.slow
def test_an_interrupt_reaches_the_caller_once_all_is_recorded(here):
    script = """import signal
import hw2exp
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        hw2exp.run("task=easy", "steps=1000000", "plot=false", "hydra.run.dir=run")
    except KeyboardInterrupt:
        print("so it was")
"""
    process = subprocess.Popen(
        [sys.executable, "-uc", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("step "):
        pass
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert "so it was" in output, error
    assert read_result(here / "run").status == "interrupted"


def test_bad_input_is_an_error_of_python(here):
    with pytest.raises(ConfigError, match="did you mean"):
        hw2exp.run("optimizer.lrr=1")
    for word in ("-m", "--help", 3, None, ["seed=1"]):
        with pytest.raises(ConfigError, match="not an override, which is a text"):
            hw2exp.run(word)
    with pytest.raises(ConfigError, match="dry_run=true: only shows"):
        hw2exp.sweep("dry_run=true", "seed=0,1")
    assert list(here.iterdir()) == []


def test_why_a_spike_happened(here):
    words = "task=easy", "steps=40", "batch_size=4", "optimizer.lr=0.1", "spikes.window=11"
    run = hw2exp.run(*words, "eval_batches=2", "plot=false", "hydra.run.dir=a")
    assert run.result.spikes
    assert run.anatomy(1) == here / "a" / "anatomy" / "spike_1.png"
    with pytest.raises(ConfigError, match="must be from 1 to"):
        run.anatomy(99)
