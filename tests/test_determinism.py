"""The same digests, however many threads and workers, however large the fleet, whatever hash seed.

Each setting is a process of its own, since what a setting changes is set when Python starts. A
setting changes several things at once, to save time.
"""

import itertools
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import hw2exp
from hw2exp.config.command_line import read
from hw2exp.config.registry import CHOICES
from hw2exp.records.run_dir import read_result

MODELS = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
SEEDS = 8
SHORT = [
    "task=easy", "steps=12", "eval_every=6", "eval_batches=2", "plot=false", "checkpoint_every=5",
]  # fmt: skip
CURES = ["clip=norm", "norm=batch", "optimizer=adam", "schedule=cosine"]
BASE = {"threads": 1, "workers": 1, "hash_seed": 0, "fleet": 8}
SETTINGS = [
    {"threads": 2, "workers": 4, "hash_seed": 1}, {"threads": 4, "fleet": 3, "hash_seed": 4242},
    {"fleet": 1},
]  # fmt: skip


def environment(setting):
    threads = str(setting["threads"])
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(names, threads),
        "PYTHONHASHSEED": str(setting["hash_seed"]),
    }


def digests(folder):
    result = read_result(folder)
    return result.parameters_sha256, result.metrics_sha256, result.initial["loss"], result.spikes


def sweep(folder, setting, models, seeds, cures):
    """Run a sweep in a process of its own, and return what its runs computed."""
    words = [
        "-m", *SHORT, *cures, f"model={','.join(models)}", f"seed=range(0,{seeds})",
        f"workers={setting['workers']}", f"fleet_size={setting['fleet']}",
        f"hydra.sweep.dir={folder}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "hw2exp.train", *words]
    subprocess.run(command, env=environment(setting), check=True, stdout=subprocess.DEVNULL)
    return [digests(folder / str(job)) for job in range(len(models) * seeds)]


@cache
def baseline(folder, *what):
    return sweep(folder, BASE, *what)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("baseline")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("cures", "change"), [*itertools.product((tuple(CURES), ()), SETTINGS)], ids=str
)
def test_a_sweep_has_the_same_digests(change, cures, shared, tmp_path):
    what = (MODELS, SEEDS, cures)
    base = baseline(shared / ("cured" if cures else "plain"), *what)
    assert len({parameters for parameters, *_ in base}) == len(base)  # forty different runs
    assert sweep(tmp_path / "sweep", {**BASE, **change}, *what) == base


@pytest.mark.nightly
def test_single_runs_too(shared, tmp_path):
    """A run that is no job of a sweep: as in the sweep."""
    base = baseline(shared / "plain", MODELS, SEEDS, ())
    runs = [
        [*SHORT, f"model={model}", "seed=3", f"hydra.run.dir={tmp_path / model}"]
        for model in MODELS
    ]
    program = f"import sys; from hw2exp.train import main; sys.exit(max(map(main, {runs})))"
    env = environment({**BASE, "threads": 4, "hash_seed": 1})
    command = [sys.executable, "-c", program]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    for number, model in enumerate(MODELS):
        assert digests(tmp_path / model) == base[number * SEEDS + 3], model


JUDGE = Path(__file__).parent.parent / "scripts" / "same_bits.py"


@pytest.mark.nightly
def test_other_kinds_of_cpu(tmp_path):
    """A thin part of what the script judges: one model and two settings."""
    compiled = Path(hw2exp.__file__).parent / "__pycache__/other-cpus"  # named by their sources
    command = [sys.executable, JUDGE, "--thin", "--models", "attn_rnn", "--cache", compiled]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_that_judge_makes_runs_of_every_choice(monkeypatch):
    monkeypatch.syspath_prepend(JUDGE.parent)
    import same_bits

    words = " ".join(" ".join(runs) for runs in same_bits.RUNS.values()).split()
    # These use torch's own products and decompositions, whose bits depend on the CPU.
    by_torch = {"clip": {"qk_clip"}, "norm": {"sigma_reparam"}}
    for group in ("clip", "norm", "optimizer", "schedule"):
        default = read(["task=easy"]).jobs[0].config
        chosen = {word.partition("=")[2] for word in words if word.startswith(f"{group}=")}
        judged = set(CHOICES[group]) - by_torch.get(group, set())
        assert chosen | {getattr(default, group).name} == judged, group
    drawn = {word.partition("=")[2] for word in words if word.startswith("init.")}
    assert drawn >= {"orthogonal", "normal", "sparse"}
