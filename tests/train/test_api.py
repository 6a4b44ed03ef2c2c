"""From Python: the same as the commands, with the results as frames."""

import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext

import hydra
import numpy as np
import polars
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import hw2exp
from hw2exp.config.hydra_session import CONFIG_MODULE, VERSION_BASE
from hw2exp.records.run_dir import read_result
from hw2exp.system.problems import ConfigError
from hw2exp.train import main
from tests.survival.progress import wait_for_steps

SHORT = ("task=easy", "steps=30", "eval_every=10", "eval_batches=2", "log_every=5", "plot=false")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_what_the_command_makes(here):
    seen = "diagnostics.flow_every=10"
    run = hw2exp.run("model=rnn", *SHORT, seen, "hydra.run.dir=a")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0  # the caller's garbage is collected
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


@pytest.mark.nightly
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


@pytest.mark.nightly
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
    wait_for_steps(process, here)
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


@pytest.mark.slow  # draws a page, as tests/anatomy does
def test_why_a_spike_happened(here):
    words = "task=easy", "steps=40", "batch_size=4", "optimizer.lr=0.1", "spikes.window=11"
    run = hw2exp.run(*words, "eval_batches=2", "plot=false", "hydra.run.dir=a")
    assert run.result.spikes
    assert run.anatomy(1) == here / "a" / "anatomy" / "spike_1.png"


def test_a_spike_that_is_not_there_has_no_anatomy(here):
    with pytest.raises(ConfigError, match="has no spike"):
        hw2exp.run(*TINY).anatomy(99)


TINY = (
    "model=rnn", "task=easy", "steps=2", "eval_every=2", "eval_batches=1", "plot=false",
    "batch_size=4", "clip=norm", "check_initial_loss=off",
)  # fmt: skip


class Refusing(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        raise RuntimeError("a mode of the caller's")


class setting:  # noqa: N801
    """A global setting of the caller's, which comes back to what it was."""

    def __init__(self, set_to, get, value, before):
        self.set_to, self.get, self.value, self.before = set_to, get, value, before

    def __enter__(self):
        self.set_to(self.value)

    def __exit__(self, *error):
        found = self.get()
        self.set_to(self.before)
        assert error[0] or found == self.value


STATES = {
    "dtype": lambda: setting(
        torch.set_default_dtype, torch.get_default_dtype, torch.float64, torch.float32
    ),
    "device": lambda: setting(
        torch.set_default_device, torch.get_default_device, torch.device("meta"), None
    ),
    "a device for a while": lambda: torch.device("meta"),
    "a mode": Refusing,
    "no grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "threads": lambda: setting(torch.set_num_threads, torch.get_num_threads, 2, 1),
    "matmul": lambda: setting(
        torch.set_float32_matmul_precision, torch.get_float32_matmul_precision, "medium", "highest"
    ),
    "deterministic": lambda: setting(
        torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled, True, False
    ),
    "denormal": lambda: setting(
        torch.set_flush_denormal, lambda: np.float64(2.0**-1040) * 1.0 == 0, True, False
    ),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "errstate": lambda: np.errstate(all="raise"),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of runs whose caller has set nothing, in kernels and by autograd."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return [digests(folder / f"{fast}", fast) for fast in ("true", "false")]


def digests(folder, closed_form):
    run = hw2exp.run(*TINY, f"closed_form={closed_form}", f"hydra.run.dir={folder}")
    return run.result.parameters_sha256, run.result.metrics_sha256, run.result.initial


@pytest.mark.parametrize("state", STATES)
def test_the_callers_state_changes_no_bit_and_is_kept(here, undisturbed, state):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomaly detection tells that it is on
        with STATES[state]():
            found = [digests(fast, fast) for fast in ("true", "false")]
    assert found == undisturbed


def test_a_run_draws_from_no_generator_of_the_callers(here):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    hw2exp.run(*TINY)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("good", [True, False])
def test_a_callers_hydra_is_given_back(here, good):
    with hydra.initialize_config_module(CONFIG_MODULE, **VERSION_BASE):
        with nullcontext() if good else pytest.raises(ConfigError):
            hw2exp.run(*TINY, *([] if good else ["steps=-1"]))
        assert GlobalHydra.instance().is_initialized()
        assert hydra.compose("train", overrides=["steps=7"]).steps == 7
    assert not GlobalHydra.instance().is_initialized()


def test_threads_take_turns(here, undisturbed):
    found = {}

    def work(name):
        found[name] = digests(here / name, "true")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys("abc", undisturbed[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python's, of forks with threads
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of polars', of forks
def test_a_fork_of_a_process_that_has_trained_is_refused_in_a_line(here):
    run = hw2exp.run(*TINY)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            hw2exp.run(*TINY, "hydra.run.dir=never")
        except ConfigError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    line = os.read(reading, 1000).decode()
    os.close(reading)
    os.close(writing)
    assert "forked" in line
    assert "spawn" in line
    assert "\n" not in line
    assert not (here / "never").exists()
    assert run.folder.exists()
