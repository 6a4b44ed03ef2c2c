"""A pruned sweep: the same runs, some of which end earlier, whoever trains them and how often."""

import json
import shutil

import polars
import pytest

from hw2exp import extract
from hw2exp.compare.__main__ import main as compare
from hw2exp.records.metrics import read_metrics
from hw2exp.records.packed import PackedSweep
from hw2exp.records.run_dir import read_result
from hw2exp.records.runs import read_runs
from hw2exp.report.measures import measure
from hw2exp.sweeps.fleet_task import train_fleet
from hw2exp.sweeps.grouping import group
from hw2exp.system.interrupt import Interrupt
from hw2exp.train import main

SHORT = (
    "task=easy", "model=rnn", "model.hidden_size=6", "batch_size=4", "steps=60", "eval_every=10",
    "eval_batches=2", "log_every=7", "plot=false", "optimizer=sgd", "check_initial_loss=off",
    "checkpoint_every=8", "keep_checkpoints=20", "model.nonlinearity=relu",
)  # fmt: skip
AXES = "optimizer.lr=logspace(0.001,300,6)", "seed=range(0,2)"
ASHA = "prune=asha", "prune.first_rung=15", "prune.reduction=2"
JOBS = 12


def train(*words):
    return main(["-m", *SHORT, *words])


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """The same sweep pruned and whole."""
    folder = tmp_path_factory.mktemp("sweeps")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert train(*AXES, *ASHA, "hydra.sweep.dir=pruned") == 0
        assert train(*AXES, "hydra.sweep.dir=whole") == 0
        median = "prune=median", "prune.warmup=20"
        assert train(*AXES, *median, "hydra.sweep.dir=median") == 0
    return folder


def results(folder, jobs=range(JOBS)):
    return {job: read_result(folder / str(job)) for job in jobs}


def facts(folder):
    own = results(folder)
    return {
        job: (r.status, r.step, r.pruned_at, r.parameters_sha256, r.metrics_sha256)
        for job, r in own.items()
    }


@pytest.mark.parametrize("name", ["pruned", "median"])
def test_who_stays_is_the_same_and_who_leaves_is_its_beginning(sweeps, name):
    whole, pruned = results(sweeps / "whole"), results(sweeps / name)
    left = {job for job, result in pruned.items() if result.status == "pruned"}
    assert 0 < len(left) < JOBS
    for job, result in pruned.items():
        full = read_metrics(sweeps / f"whole/{job}/metrics.parquet")
        own = read_metrics(sweeps / f"{name}/{job}/metrics.parquet")
        assert own.equals(full.filter(polars.col("step") <= result.step)), job
        if job in left:
            assert result.pruned_at == result.step == own["step"][-1] < 60
            assert whole[job].status != "diverged" or whole[job].step > result.step
        else:
            assert result.pruned_at is None
            for key in ("status", "step", "parameters_sha256", "metrics_sha256", "spikes"):
                assert getattr(result, key) == getattr(whole[job], key), (job, key)


def test_arms_leave_whole_by_the_rule(sweeps):
    whole = {job: read_metrics(sweeps / f"whole/{job}/metrics.parquet") for job in range(JOBS)}

    def loss(arm, step):
        own = [whole[job].filter(polars.col("step") == step)["loss_test"] for job in arm]
        return sum(each[0] if len(each) and each[0] is not None else float("inf") for each in own)

    arms = [(2 * n, 2 * n + 1) for n in range(6)]  # of two seeds: the median is the mean
    expected = {}
    for step in (20, 30, 60)[:2]:  # the rungs 15 and 30; at 60 all is done
        arms = sorted(arms, key=lambda arm: loss(arm, step))
        half = len(arms) // 2
        expected |= {job: step for arm in arms[half:] for job in arm}
        arms = arms[:half]
    own = results(sweeps / "pruned")
    found = {job: result.pruned_at for job, result in own.items() if result.pruned_at}
    diverged = {job for job, result in own.items() if result.status == "diverged"}
    assert found == {job: step for job, step in expected.items() if job not in diverged}
    assert diverged  # an arm may lose one seed to divergence, and the other to the rule


def test_fleets_don_t_depend_on_workers(compose):
    base = compose("-m", *SHORT, *ASHA)
    rates = [0.1 * n for n in range(1, 6)]
    configs = [
        base.model_copy(
            update={"optimizer": base.optimizer.model_copy(update={"lr": lr}), "seed": seed}
        )
        for lr in rates
        for seed in range(40)
    ]
    one, many = (group(configs, workers) for workers in (1, 7))
    assert one == many
    assert sorted(job for fleet in one for job in fleet) == list(range(200))
    assert max(map(len, one)) <= 64
    for fleet in one:  # each has all arms, with the same seeds
        seeds = {lr: {configs[j].seed for j in fleet if configs[j].optimizer.lr == lr}
                 for lr in rates}  # fmt: skip
        assert len(set(map(frozenset, seeds.values()))) == 1


@pytest.mark.nightly
def test_the_number_of_workers_changes_nothing(sweeps, tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    for count in (1, 2):
        words = f"workers={count}", "fleet_size=6", f"hydra.sweep.dir={count}"
        assert train(*AXES, *ASHA, *words) == 0
    assert facts(tmp_path / "1") == facts(tmp_path / "2")


@pytest.mark.parametrize(
    "ended", [pytest.param(0, marks=pytest.mark.slow), 2], ids=["begun", "some ended"]
)
def test_it_resumes_as_if_whole(sweeps, tmp_path, monkeypatch, ended):
    """Runs of a killed sweep are at different checkpoints; some have ended."""
    shutil.copytree(sweeps / "pruned", tmp_path / "pruned")
    own = results(tmp_path / "pruned")
    left = sorted(job for job, result in own.items() if result.pruned_at == 20)
    for job in range(JOBS):
        if job in left[:ended] or own[job].status == "diverged":
            continue
        folder = tmp_path / f"pruned/{job}"
        (folder / "result.json").unlink()
        for path in (folder / "checkpoints").glob("step_*"):
            if int(path.name[-10:]) > (24 if job % 2 else 16):
                shutil.rmtree(path)
    monkeypatch.chdir(tmp_path)
    assert train(*AXES, *ASHA, "resume=pruned") == 0
    assert facts(tmp_path / "pruned") == facts(sweeps / "pruned")


def test_it_resumes_with_the_same_fleets_only(sweeps, monkeypatch, capsys):
    monkeypatch.chdir(sweeps)
    assert train(*AXES, *ASHA, "resume=pruned", "fleet_size=6") == 2
    assert "has fleet_size=0, not 6: prune=asha compares" in capsys.readouterr().err
    assert train(*AXES, "resume=whole", "fleet_size=6") == 0


@pytest.mark.slow
def test_without_a_common_checkpoint_all_begin_again(sweeps, tmp_path, monkeypatch):
    shutil.copytree(sweeps / "pruned", tmp_path / "pruned")
    for job in range(JOBS):
        (tmp_path / f"pruned/{job}/result.json").unlink()
    shutil.rmtree(tmp_path / "pruned/3/checkpoints")
    monkeypatch.chdir(tmp_path)
    assert train(*AXES, *ASHA, "resume=pruned") == 0
    assert facts(tmp_path / "pruned") == facts(sweeps / "pruned")


class After(Interrupt):
    """Asks to end after some steps."""

    def __init__(self, steps):
        super().__init__([])
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.slow
def test_told_to_end_it_resumes_as_if_whole(compose, tmp_path, step_by_step):
    values = [
        compose("-m", *SHORT, *ASHA, f"optimizer.lr={lr}", f"seed={seed}").model_dump()
        for lr in (0.01, 0.1, 1.0)
        for seed in range(2)
    ]
    whole = train_fleet(tmp_path / "w.json", values, [tmp_path / f"w/{n}" for n in range(6)])
    folders = [tmp_path / f"again/{n}" for n in range(6)]
    for step in (8, 15, 20):
        outcomes = train_fleet(tmp_path / "a.json", values, folders, After(step))
        assert any(each.status == "interrupted" for each in outcomes)
    again = train_fleet(tmp_path / "a.json", values, folders)
    assert [(r.status, r.step, r.metrics_sha256, r.parameters_sha256) for r in again] == [
        (r.status, r.step, r.metrics_sha256, r.parameters_sha256) for r in whole
    ]
    assert {r.status for r in whole} == {"finished", "pruned"}


@pytest.mark.slow
def test_packed_runs_are_those_with_folders(sweeps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [word for word in SHORT if "checkpoint" not in word]
    assert main(["-m", *own, *AXES, *ASHA, "records=packed", "hydra.sweep.dir=p"]) == 0
    sweep = PackedSweep.read(tmp_path / "p")
    expected = results(sweeps / "pruned")
    for job, result in sweep.results():
        for key in ("status", "step", "pruned_at", "parameters_sha256", "metrics_sha256"):
            assert getattr(result, key) == getattr(expected[job], key), (job, key)
    pruned = next(job for job, result in expected.items() if result.pruned_at)
    assert extract.main(["p", "--job", str(pruned)]) == 0
    assert read_result(tmp_path / f"p/{pruned}").status == "pruned"
    assert read_runs(tmp_path / "p").left_out == read_runs(sweeps / "pruned").left_out


def test_statistics_count_the_pruned_as_such(sweeps, capsys):
    own = results(sweeps / "pruned")
    pruned = [job for job, result in own.items() if result.status == "pruned"]
    found = read_runs(sweeps / "pruned")
    assert found.lost == ()
    assert len(found.left_out) == 1
    assert found.left_out[0].startswith(f"{len(pruned)} runs left out: pruned at step 20 to 30, of")
    assert found.size[0] == JOBS - len(pruned)
    assert sum(len(measure(arm).arm.runs) for arm in found.arms) == JOBS - len(pruned)
    assert compare([str(sweeps / "pruned"), str(sweeps / "whole")]) == 0
    table = capsys.readouterr().out
    assert f"{JOBS - len(pruned) - 2} finished, 2 diverged, {len(pruned)}" in table
    ends, loss = (
        next(line for line in table.splitlines() if line.startswith(name))
        for name in ("ends solved", "test loss")
    )
    assert f"0 of {JOBS - len(pruned)} " in ends
    assert f", of {JOBS - len(pruned)}" in loss


@pytest.mark.slow
def test_the_end_table_and_bad_input(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train("optimizer.lr=0.1,0.2", "clip=none,norm", *ASHA, "hydra.sweep.dir=s") == 0
    told = capsys.readouterr()
    assert "pruned" in told.out
    assert told.err == ""
    assert train("clip=none,norm", *ASHA, "hydra.sweep.dir=t") == 0
    assert "prune=asha: 2 of 2 fleets have a single arm" in capsys.readouterr().err
    for words, problem in [
        ([*SHORT, *ASHA], "prune=asha: compares the arms of a sweep; add -m, or use none"),
        (["-m", *SHORT, *ASHA, "hydra/launcher=basic"], "prune=asha: hydra/launcher=basic trains"),
        (["-m", *SHORT, "prune=asha", "prune.first_rung=51"],
         "prune.first_rung=51: prune=asha would never decide; the last test pass before step 60"),
        (["-m", *SHORT, "prune=median", "eval_every=60"], "leaves no test pass before the last"),
        (["-m", *SHORT, "prune=asha", "prune.reduction=1"], "prune.reduction=1: must be an int"),
        (["-m", *SHORT, "prune=hyperband"], "prune=hyperband"),
    ]:  # fmt: skip
        assert main(words) == 2
        assert problem in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"s", "t"}
    ended = [json.loads(path.read_text())["status"] for path in tmp_path.glob("s/*/result.json")]
    assert sorted(ended) == ["finished"] * 2 + ["pruned"] * 2
