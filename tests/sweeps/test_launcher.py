"""The fleet launcher against Hydra's basic one, and what only it does."""

import os
from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from hw2exp.records.run_dir import RunResult
from hw2exp.records.write_order import write_results
from tests.tiers import first_slow

SWEEPS = {
    "texts and lists": ["check_initial_loss=warn,'off'", "task.length=[30,41],[31,50]"],
    "added, deleted, interpolated": ["++steps=5,6", "eval_every=${steps}", "seed=1,2"],
    "folder of a value": ["seed=3,4", "hydra.sweep.subdir=s${seed}_${model.name}"],
    "no records": ["seed=0,1", "hydra.output_subdir=null"],
    "defaults": ["seed=0"],
    "values and choices": ["model=lstm,rnn", "seed=0,1", "optimizer.lr=1e-5,0.3"],
    "an experiment": ["experiment=explosion_sgd", "init={scale:0.5}"],
    "folder of overrides": ["seed=0,1", "hydra.sweep.subdir=${hydra.job.override_dirname}"],
    "folder of a time": ["seed=3,4", "hydra.sweep.dir=at/${now:%Y-%m-%d}"],
    "name of overrides": [
        "seed=0,1",
        "model=rnn",
        "hydra.job.config.override_dirname.kv_sep=_",
        "hydra.job.config.override_dirname.exclude_keys=[model]",
    ],
    "other records": ["seed=0,1", "hydra.output_subdir=records"],
}


def records(folder):
    """Every file that Hydra wrote, by path; the sweeper and the launcher may have another name.

    A job's config is compared by its values: ours are recorded, Hydra's may refer to others.
    Hydra 1.4 refers to the job's name, too.
    """
    found = {
        str(path.relative_to(folder)): yaml.safe_load(path.read_text().replace("fleet", "basic"))
        for path in sorted(folder.rglob("*.yaml"))
    }
    for content in found.values():
        if "hydra" in content:
            name_job(content["hydra"])
    return {
        path: OmegaConf.to_container(OmegaConf.create(content), resolve=True)
        if path.endswith("/config.yaml")
        else content
        for path, content in found.items()
    }


def name_job(hydra):
    job, words = hydra["job"], sorted(hydra["overrides"]["task"])
    if job["override_dirname"] == "${hydra_override_dirname:}":
        style = job["config"]["override_dirname"]
        kept = [word for word in words if word.split("=")[0] not in style["exclude_keys"]]
        job["override_dirname"] = style["item_sep"].join(kept).replace("=", style["kv_sep"])


@pytest.mark.parametrize("arguments", first_slow(*SWEEPS.values(), slow=4), ids=SWEEPS)
def test_it_leaves_and_returns_what_hydras_own_does(sweep, tmp_path, monkeypatch, arguments):
    where = [] if any("sweep.dir" in word for word in arguments) else ["hydra.sweep.dir=sweep"]
    got, given = {}, []

    def fleet(jobs, held):
        given.extend(job.plain for job in jobs)
        return [None] * len(jobs)

    for kind in ("fleet", "basic"):
        (tmp_path / kind).mkdir()
        monkeypatch.chdir(tmp_path / kind)
        flags = [f"hydra/launcher={kind}", f"hydra/sweeper={kind}", *where]
        got[kind] = sweep(*arguments, *flags, fleet=fleet)
    mine, theirs = records(tmp_path / "fleet"), records(tmp_path / "basic")
    for each in (mine, theirs):
        for content in each.values():
            if "hydra" in content:
                del content["hydra"]["launcher"], content["hydra"]["sweeper"]
    assert mine == theirs
    assert len(got["fleet"]) == len(got["basic"]) > 0
    for config, ours, other in zip(given, got["fleet"], got["basic"], strict=True):
        assert config == OmegaConf.to_container(other.cfg, resolve=True)
        assert ours.overrides == other.overrides
        assert ours.cfg == other.cfg
        assert ours.task_name == other.task_name
        assert ours.status == other.status == JobStatus.COMPLETED
        plain = [OmegaConf.to_container(each.hydra_cfg, enum_to_str=True) for each in (ours, other)]
        for each in plain:
            del each["hydra"]["launcher"], each["hydra"]["sweeper"]
            name_job(each["hydra"])
        assert str(plain[0]).replace("fleet", "basic") == str(plain[1])


def test_the_function_gets_all_jobs_at_once(sweep, tmp_path):
    calls = []

    def fleet(jobs, held):
        calls.append(jobs)
        assert HydraConfig.get().sweep.dir == "sweep"
        return [job.plain["seed"] for job in jobs]

    returns = sweep("model=rnn", "seed=range(0,3)", "hydra.sweep.dir=sweep", fleet=fleet)
    (jobs,) = calls
    assert [job.number for job in jobs] == [0, 1, 2]
    assert [job.folder for job in jobs] == [tmp_path / "sweep" / str(n) for n in range(3)]
    assert jobs[2].overrides == ("model=rnn", "seed=2")
    assert jobs[2].plain["model"] == {"name": "rnn", "hidden_size": 16, "nonlinearity": "tanh"}
    assert "hydra" not in jobs[2].plain
    assert [each.return_value for each in returns] == [0, 1, 2]


def test_batches_continue_the_count(sweep):
    calls = []

    def fleet(jobs, held):
        calls.append([(job.number, job.folder.name, job.plain["seed"]) for job in jobs])
        return [None] * len(jobs)

    sweep("seed=range(5,8)", "hydra.sweeper.max_batch_size=2", fleet=fleet)
    assert calls == [[(0, "0", 5), (1, "1", 6)], [(2, "2", 7)]]


@pytest.mark.parametrize("how", ["returned", "raised"])
def test_a_failure_is_raised_as_hydra_does(sweep, capsys, how):
    def fleet(jobs, held):
        if how == "raised":
            raise ArithmeticError("too much")
        return [None, ArithmeticError("too much")]

    with pytest.raises(ArithmeticError, match="too much"):
        sweep("seed=0,1", fleet=fleet)
    failed = "seed=0" if how == "raised" else "seed=1"
    assert f"Error executing job with overrides: ['{failed}']" in capsys.readouterr().err


def test_an_answer_a_job_is_asked_for(sweep):
    with pytest.raises(ValueError, match="zip"):
        sweep("seed=0,1", fleet=lambda jobs, held: [None])


def test_a_working_directory_a_job_is_refused(sweep, tmp_path):
    with pytest.raises(HydraException, match="share a process"):
        sweep("seed=0,1", "hydra.job.chdir=true", fleet=lambda jobs, held: [None, None])
    assert not list(tmp_path.rglob("config.yaml"))


def test_the_environment_is_set_while_the_fleet_runs(sweep):
    def fleet(jobs, held):
        return [os.environ["OF_THE_SWEEP"]] * len(jobs)

    returns = sweep("seed=0,1", "+hydra.job.env_set.OF_THE_SWEEP=yes", fleet=fleet)
    assert [each.return_value for each in returns] == ["yes", "yes"]
    assert "OF_THE_SWEEP" not in os.environ


def test_records_of_a_finished_job_stay(sweep, tmp_path):
    (tmp_path / "sweep/0/.hydra").mkdir(parents=True)
    for name in ("metrics.parquet", "parameters.safetensors"):
        (tmp_path / "sweep/0" / name).write_bytes(b"something")
    end = RunResult(
        status="finished",
        step=50,
        diverged_at=None,
        solved_at=None,
        initial={"loss": 1.39, "accuracy": 0.25},
        final={"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 0.5},
        spikes=[],
        parameters_sha256="",
        metrics_sha256="",
        seconds=1.0,
        versions={},
    )
    write_results({tmp_path / "sweep/0": end})
    for name in ("config", "hydra", "overrides"):
        (tmp_path / f"sweep/0/.hydra/{name}.yaml").write_text("steps: 50  # before")
    words = ("seed=0,1", "hydra.sweep.dir=sweep")
    sweep(*words, "steps=50", fleet=lambda jobs, held: [None, None])
    assert (tmp_path / "sweep/0/.hydra/config.yaml").read_text() == "steps: 50  # before"
    assert (tmp_path / "sweep/1/.hydra/config.yaml").exists()
    (tmp_path / "sweep/0/.hydra/hydra.yaml").write_bytes(b"\0" * 90)  # as a power cut may leave it
    sweep(*words, "steps=50", fleet=lambda jobs, held: [None, None])
    assert "hydra:" in (tmp_path / "sweep/0/.hydra/hydra.yaml").read_text()
    sweep(*words, "steps=60", fleet=lambda jobs, held: [None, None])
    assert "# before" not in (tmp_path / "sweep/0/.hydra/config.yaml").read_text()


class Noting(Callback):
    seen: list = []  # noqa: RUF012

    def on_job_start(self, config, *, task_function, **kwargs):
        output = Path(HydraConfig.get().runtime.output_dir).name
        self.seen.append(("start", config.hydra.job.num, config.seed, output, task_function))

    def on_job_end(self, config, job_return, **kwargs):
        output = Path(config.hydra.runtime.output_dir).name
        self.seen.append(("end", job_return.cfg.seed, output, job_return.return_value))


@pytest.mark.filterwarnings("ignore:hydra.utils.instantiate")  # 1.4 trusts no code of a config
def test_callbacks_hear_of_every_job(sweep, monkeypatch):
    import sys
    import types

    module = types.ModuleType("noting")
    module.Noting = Noting
    monkeypatch.setitem(sys.modules, "noting", module)
    monkeypatch.setattr(Noting, "seen", [])

    def fleet(jobs, held):
        Noting.seen.append("fleet")
        return ["a", "b"]

    sweep("seed=6,7", "+hydra.callbacks.noting._target_=noting.Noting", fleet=fleet)
    starts = [entry[:4] for entry in Noting.seen[:2]]
    assert starts == [("start", 0, 6, "0"), ("start", 1, 7, "1")]
    assert Noting.seen[2:] == ["fleet", ("end", 6, "0", "a"), ("end", 7, "1", "b")]
