"""A sweep goes on in its folder only if its jobs are those that are there."""

import json
import os
import shutil

import pytest
import yaml
from safetensors.numpy import load, save

from hw2exp.config.command_line import read
from hw2exp.config.recorded import read_values
from hw2exp.records.manifest import sealed, sha256, unsealed
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

SWEEP = ["task=easy", "model=lstm,rnn", "optimizer.lr=1e-3,1e-05"]


SHORT = ["task=easy", "model=rnn", "steps=3", "eval_every=3", "eval_batches=1", "plot=false",
         "batch_size=8", "check_initial_loss=off"]  # fmt: skip


@pytest.fixture(scope="module")
def jobs():
    """The configs of a sweep of four jobs, as text."""
    composed = read(["-m", *SWEEP]).jobs
    return [yaml.safe_dump(job.config.model_dump(mode="json")) for job in composed]


@pytest.fixture
def folder(jobs, tmp_path, monkeypatch):
    """The folder of a sweep of four jobs, of which the second is missing."""
    monkeypatch.chdir(tmp_path)
    for number in (0, 2, 3):
        records = tmp_path / f"sweep/{number}/.hydra"
        records.mkdir(parents=True)
        (records / "config.yaml").write_text(jobs[number])
    return tmp_path / "sweep"


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["checkpoint_every=3", "plot=false", "workers=2", "device=cpu"],
        ["steps=4000"],
        ["hydra.sweep.dir=sweep"],
        ["seed=0"],
    ],
    ids=str,
)
def test_the_same_sweep_resumes(folder, more):
    command = read(["-m", "resume=sweep", *SWEEP, *more])
    assert command.resumes
    assert str(command.folder) == "sweep"
    assert not command.explicit_folder
    assert {job.config.resume for job in command.jobs} == {"sweep"}


def test_more_jobs_may_follow(folder):
    more = [*SWEEP[:1], "model=lstm,rnn,gated_rnn", SWEEP[2]]
    assert len(read(["-m", "resume=sweep", *more]).jobs) == 6


def test_a_command_without_it_does_not_resume(folder):
    assert not read(["-m", *SWEEP]).resumes


def test_values_that_depend_on_others_are_compared_by_what_they_are(folder):
    path = folder / "0/.hydra/config.yaml"
    written = path.read_text()
    path.write_text(written.replace("solved_passes: 3", "solved_passes: ${task.t1.1}"))
    assert path.read_text() != written
    assert read(["-m", "resume=sweep", *SWEEP]).resumes


BAD = {
    "another value": (
        [*SWEEP, "steps=7"],
        ["resume=sweep: job 0 has steps=3000, not 7: there may only be more"],
    ),
    "another rhythm of rows": (
        [*SWEEP, "log_every=3"],
        ["resume=sweep: job 0 has log_every=10, not 3"],
    ),
    "another value of some jobs": (
        [*SWEEP[:2], "optimizer.lr=1e-3,0.5"],
        ["job 3 has optimizer.lr=1e-05, not 0.5"],
    ),
    "another choice": (
        ["task=easy", "model=rnn", "optimizer.lr=1e-3"],
        ["job 0 has model=lstm, not rnn", "job 0 has model.nonlinearity=null, not tanh"],
    ),
    "another order": (
        [SWEEP[0], SWEEP[2], SWEEP[1]],
        ["job 2 has model=rnn, not lstm"],
    ),
    "another list": (
        [*SWEEP, "task.length=[8,9]"],
        ["job 0 has task.length=[7,9], not [8,9]"],
    ),
    "another folder": (
        [*SWEEP, "hydra.sweep.dir=other"],
        ["hydra.sweep.dir=other: must be left out, or agree with resume=sweep"],
    ),
    "other names of the jobs": (
        [*SWEEP, "hydra.sweep.subdir=job${hydra.job.num}"],
        ["resume=sweep: holds none of the sweep's jobs"],
    ),
    "no such folder": (
        [*SWEEP, "resume=nowhere"],
        [
            "resume=nowhere: must be a folder that exists",
            "with hydra.sweep.dir=nowhere too it begins",
        ],
    ),
    "a file": ([*SWEEP, "resume=sweep/0/.hydra/config.yaml"], ["must be a folder"]),
    "a number": ([*SWEEP, "resume=3"], ["resume=3: must be a text or null"]),
    "no name": ([*SWEEP, "resume="], ["resume=: must be the folder of a run or of a sweep"]),
    "two folders": ([*SWEEP, "resume=sweep,other"], ["resume can't be swept"]),
}


def everything(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused(folder, capsys, arguments, expected):
    before = everything(folder.parent)
    resume = [] if any(word.startswith("resume=") for word in arguments) else ["resume=sweep"]
    assert main(["-m", *resume, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in expected:
        assert part in captured.err
    assert everything(folder.parent) == before


@pytest.mark.parametrize("text", ["- 1", "steps: [", "steps: 3000", "\xff", "a: ${b}"])
def test_a_job_that_cannot_be_read_is_named(folder, capsys, text):
    (folder / "2/.hydra/config.yaml").write_bytes(text.encode("latin-1"))
    (folder / "2/result.json").write_text("{}")
    assert main(["-m", "resume=sweep", *SWEEP]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "resume=sweep: job 2 has an unusable config: " in error


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_config_that_a_kill_cut_off_is_no_obstacle(folder, size):
    path = folder / "2/.hydra/config.yaml"
    path.write_bytes(path.read_bytes()[:size])
    assert read(["-m", "resume=sweep", *SWEEP]).resumes


def test_a_link_makes_no_two_jobs_one(folder, capsys):
    (folder / "job0").mkdir()
    (folder / "job1").symlink_to("job0")
    words = [*SWEEP, "hydra.sweep.dir=new", "hydra.sweep.subdir=job${hydra.job.num}"]
    os.rename(folder, folder.parent / "new")
    assert main(["-m", *words]) == 2
    why = "new/job1: is a link; jobs 0 and 1 would share it"
    assert capsys.readouterr().err == f"hw2exp: {why}\n"


@pytest.mark.parametrize("left", [None, b"", b"\0" * 900])
def test_a_result_without_its_config_is_not_taken_for_another(folder, capsys, left):
    path = folder / "2/.hydra/config.yaml"
    (folder / "2/result.json").write_text("{}")
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    assert main(["-m", "resume=sweep", *SWEEP]) == 2
    why = "resume=sweep/2: has a result, but sweep/2/.hydra/config.yaml is gone or empty"
    assert capsys.readouterr().err == f"hw2exp: {why}\n"


ONE = ["task=easy", "model=lstm", "optimizer.lr=1e-3"]

BAD_RUN = {
    "a sweep": ([*ONE, "resume=sweep"], "resume=sweep: is a sweep's folder; add -m"),
    "another value": (
        [*ONE, "seed=7"],
        "resume=sweep/0: it has seed=0, not 7",
    ),
    "fewer steps": ([*ONE, "steps=9"], "it has steps=3000, not 9: there may only be more"),
    "a choice and a key": (
        ["task=easy", "model=attn_rnn", "model.lags=3"],
        "it has model=lstm, not attn_rnn | resume=sweep/0: it has model.lags=null, not 3",
    ),
    "another folder": (
        [*ONE, "hydra.run.dir=other"],
        "hydra.run.dir=other: must be left out, or agree with resume=sweep/0",
    ),
    "a folder of something else": ([*ONE, "resume=."], "resume=.: holds no run"),
    "no folder": ([*ONE, "resume=x"], "resume=x: must be a folder that exists"),
    "another device": ([*ONE, "device=cuda"], "it has device=auto, not cuda"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD_RUN.values(), ids=BAD_RUN)
def test_a_run_that_does_not_fit_is_refused(folder, capsys, arguments, expected):
    (folder / "multirun.yaml").touch()
    before = everything(folder.parent)
    resume = [] if any(word.startswith("resume=") for word in arguments) else ["resume=sweep/0"]
    assert main([*resume, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert everything(folder.parent) == before


@pytest.mark.parametrize("more", [[], ["steps=5000"], ["plot=false", "keep_checkpoints=9"]])
def test_a_job_of_a_sweep_can_resume_alone(folder, more):
    command = read(["resume=sweep/0", *ONE, *more])
    assert command.resumes
    assert str(command.folder) == "sweep/0"


def test_what_was_killed_before_its_first_step_can_be_resumed(folder):
    shutil.rmtree(folder)
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".lock").write_text("process 1")
    assert read(["resume=sweep", *ONE]).resumes
    (folder / "multirun.yaml").touch()
    (folder / "0").mkdir()
    assert read(["-m", "resume=sweep", *SWEEP]).resumes
    (folder / "0/.hydra").mkdir()
    (folder / "0/.lock").write_text("process 1")
    (folder / "0/.hydra/.config.yaml.1.part").touch()
    (folder / "1/records").mkdir(parents=True)
    assert read(["-m", "resume=sweep", *SWEEP]).resumes
    (folder / "1/records/thesis.txt").touch()
    assert main(["-m", "resume=sweep", *SWEEP]) == 2


@pytest.mark.parametrize(("key", "flags"), [("hydra.run.dir", []), ("hydra.sweep.dir", ["-m"])])
def test_named_by_both_keys_a_run_begins_or_resumes(folder, capsys, key, flags):
    """What a cluster's script may say each time it is started."""
    words = [*flags, "task=easy", "model=lstm", "seed=3"]
    both = [*words, f"{key}=new", "resume=new"]
    assert not read([*words, f"{key}={folder.parent}/new", "resume=new"]).resumes
    command = read(both)
    assert not command.resumes
    assert command.explicit_folder
    assert str(command.folder) == "new"
    (folder.parent / "new").mkdir()
    assert read(both).resumes
    assert main([*words, "resume=other"]) == 2
    assert f"; with {key}=other too it begins there" in capsys.readouterr().err
    assert main([*words, f"{key}=other", "resume=another"]) == 2


def test_a_checkpoint_of_another_run_is_found_before_anything_is_written(folder, capsys):
    assert main([*SHORT, "hydra.run.dir=run"]) == 0
    shutil.rmtree("run/.hydra")
    for path in ("result.json", "metrics.parquet", "parameters.safetensors"):
        (folder.parent / "run" / path).unlink()
    capsys.readouterr()
    before = everything(folder.parent)
    assert main([*SHORT, "seed=5", "resume=run"]) == 2
    assert "step_0000000002 has seed=0, not 5" in capsys.readouterr().err
    assert everything(folder.parent) == before
    assert main([*SHORT, "resume=run"]) == 0


def test_a_run_without_records_resumes_from_its_checkpoint(folder, capsys):
    assert main([*SHORT, "hydra.run.dir=run"]) == 0
    shutil.rmtree("run/.hydra")
    for change, status in (("seed=5", 2), ("steps=4", 0)):
        assert main([*SHORT, change, "resume=run"]) == status
    assert "has seed=0, not 5" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["hydra/launcher=basic", "hydra/sweeper=basic", "-m"]])
def test_a_value_of_the_environment_is_recorded_as_it_was(folder, monkeypatch, capsys, flags):
    """Another environment is another value: refused, and nothing is written."""
    words = [
        *flags,
        *SHORT,
        'optimizer.lr="${oc.decode:${oc.env:LR}}"',
        "init.scale=${spikes.margin}",
    ]
    monkeypatch.setenv("LR", "0.02")
    assert main([*words, f"hydra.{'sweep' if flags else 'run'}.dir=run"]) == 0
    (path,) = (folder.parent / "run").rglob(".hydra/config.yaml")
    recorded = yaml.safe_load(path.read_text())
    assert (recorded["optimizer"]["lr"], recorded["init"]["scale"]) == (0.02, 0.3)
    monkeypatch.setenv("LR", "0.05")
    before = everything(folder.parent)
    capsys.readouterr()
    for more in ([], ["steps=9"]):
        assert main([*words, *more, "resume=run"]) == 2
        assert "has optimizer.lr=0.02, not 0.05" in capsys.readouterr().err
    assert everything(folder.parent) == before
    monkeypatch.setenv("LR", "0.02")
    assert main([*words, "resume=run"]) == 0


@pytest.mark.slow
def test_a_refused_sweep_writes_nothing_where_its_checkpoints_alone_tell(folder, capsys):
    """Records that an older version left with an interpolation say what is asked for now."""
    words = [*SHORT, "seed=0,1", "hydra/launcher=basic", "hydra/sweeper=basic"]
    assert main(["-m", *words, "hydra.sweep.dir=older"]) == 0
    for number in (0, 1):
        records = folder.parent / f"older/{number}/.hydra/config.yaml"
        records.write_text(records.read_text().replace("seed: ", "seed: ${oc.env:SEED} # "))
        (folder.parent / f"older/{number}/result.json").unlink()
    capsys.readouterr()
    before = everything(folder.parent)
    assert main(["-m", *words, "optimizer.lr=0.5", "resume=older"]) == 2
    assert "step_0000000002 has optimizer.lr=" in capsys.readouterr().err
    assert everything(folder.parent) == before


def test_a_run_is_what_its_command_was_checked_as(folder):
    """``${now:...}`` has another value each time that it is asked."""
    assert main([*SHORT, 'seed="${oc.decode:${now:1%f}}"', "hydra.run.dir=run"]) == 0
    manifest = json.loads(
        (folder.parent / "run/checkpoints/step_0000000002/manifest.json").read_text()
    )
    recorded = yaml.safe_load((folder.parent / "run/.hydra/config.yaml").read_text())
    assert recorded["seed"] == manifest["facts"]["config"]["seed"]


RECORDS = {
    "${steps}": 7,
    "${oc.decode:'[1,2]'}": [1, 2],
    "${oc.select:nowhere,3}": 3,
    "${oc.env:HOME}": None,
    "${oc.env:NO_SUCH,3}": None,
    "${oc.decode:'${oc.env:HOME}'}": None,
    "${now:%Y}": None,
    "${hydra:job.num}": None,
    "${python_version:}": None,
}
"""Values in a record, and what they are; nothing where they ask something outside of it."""


@pytest.mark.parametrize(("written", "value"), RECORDS.items(), ids=RECORDS)
def test_a_record_asks_nothing_outside_of_it(tmp_path, written, value):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"steps": 7, "seed": written}))
    if value is not None:
        assert read_values(path)["seed"] == value
        return
    with pytest.raises(ConfigError, match="Unsupported interpolation type") as refused:
        read_values(path)
    assert "oc.env," not in str(refused.value)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(("content", "resumes"), [("", True), ("steps: 3", False), ("[", False)])
def test_a_lost_config_is_no_way_to_another_runs_result(folder, capsys, content, resumes):
    assert main([*SHORT, "hydra.run.dir=run"]) == 0
    path = folder.parent / "run/.hydra/config.yaml"
    path.write_text(content)
    capsys.readouterr()
    assert main([*SHORT, "seed=5", "resume=run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert path.read_text() == content
    assert main([*SHORT, "resume=run"]) == (0 if resumes else 2)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_who_begins_again_waits_for_no_pipe(folder, kind):
    rows = folder.parent / "run/checkpoints/metrics.rows"
    rows.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(rows)
    elif kind == "folder":
        rows.mkdir()
    else:
        rows.symlink_to(folder.parent / "victim")
    assert main([*SHORT, "resume=run"]) == 0
    assert rows.is_file()
    assert not rows.is_symlink()
    assert not (folder.parent / "victim").exists()


def test_to_begin_again_is_told(folder, capsys):
    assert main([*SHORT, "hydra.run.dir=run"]) == 0
    shutil.rmtree("run/checkpoints")
    capsys.readouterr()
    assert main([*SHORT, "steps=4", "resume=run"]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run has no checkpoint that can be used: begins again at step 1" in error


def cut(folder):
    """Give a checkpoint parameters of another shape, and the digests of what it then is."""
    tensors = load((folder / "state.safetensors").read_bytes())
    state = save({**tensors, "params": tensors["params"][:-1]})
    (folder / "state.safetensors").write_bytes(state)
    manifest = unsealed((folder / "manifest.json").read_bytes())
    files = {"state.safetensors": sha256(state)}
    (folder / "manifest.json").write_bytes(sealed(manifest.model_copy(update={"files": files})))


def digests(folder):
    result = json.loads((folder / "result.json").read_text())
    return result["parameters_sha256"], result["metrics_sha256"]


def test_a_run_none_of_whose_checkpoints_fits_begins_again(folder, capsys):
    words = [*SHORT, "steps=5", "checkpoint_every=2", "keep_checkpoints=3"]
    assert main([*words, "hydra.run.dir=run"]) == 0
    whole = digests(folder.parent / "run")
    (folder.parent / "run/result.json").unlink()
    checkpoints = sorted((folder.parent / "run/checkpoints").glob("step_*"))
    for each in checkpoints:
        cut(each)
    capsys.readouterr()
    assert main([*words, "resume=run"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(checkpoints) + 1
    assert all("can't be used: params is float32" in line for line in lines[:-1])
    assert "begins again at step 1" in lines[-1]
    assert digests(folder.parent / "run") == whole


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_no_matter_of_its_neighbors(folder, capsys):
    words = ["-m", *SHORT, "seed=0,1,2,3", "checkpoint_every=2", "workers=1"]
    assert main([*words, "steps=8", "hydra.sweep.dir=whole"]) == 0
    assert main([*words, "steps=6", "hydra.sweep.dir=part"]) == 0
    cut(folder.parent / "part/1/checkpoints/step_0000000005")
    capsys.readouterr()
    assert main([*words, "steps=8", "resume=part"]) == 0
    out, error = capsys.readouterr()
    assert "part/1/checkpoints/step_0000000005 can't be used: params is float32" in error
    assert error.count("\n") == 1
    assert "4 jobs of 4 resume from a checkpoint" in out
    for job in range(4):
        own, expected = (digests(folder.parent / name / str(job)) for name in ("part", "whole"))
        assert own == expected


@pytest.mark.parametrize("schedule", ["cosine", "warmup_cosine"])
def test_a_schedule_over_all_steps_has_no_more_of_them(tmp_path, monkeypatch, capsys, schedule):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/.hydra").mkdir(parents=True)
    config = read([f"schedule={schedule}"]).jobs[0].config.model_dump(mode="json")
    (tmp_path / "run/.hydra/config.yaml").write_text(yaml.safe_dump(config))
    assert read(["resume=run", f"schedule={schedule}"]).resumes
    assert main(["resume=run", f"schedule={schedule}", "steps=4000"]) == 2
    assert f"schedule={schedule} spreads over all steps" in capsys.readouterr().err


def test_a_thousand_jobs_are_compared_in_seconds(folder):
    import time

    text = (folder / "0/.hydra/config.yaml").read_text()
    for number in range(200):
        records = folder / f"{number}/.hydra"
        records.mkdir(parents=True, exist_ok=True)
        (records / "config.yaml").write_text(text.replace("seed: 0", f"seed: {number}"))
    began = time.process_time()
    seeds = ["task=easy", "model=lstm", "seed=range(0,200)"]
    assert read(["-m", "resume=sweep", *seeds]).resumes
    assert time.process_time() - began < 2
