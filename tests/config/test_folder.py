"""Where results may go: what a run has written there before is never written over."""

import pytest

from hw2exp.train import main
from tests.tiers import first_slow

NESTED = ["-m", "seed=0,1", "hydra.sweep.subdir=${model.name}/${seed}"]

TAKEN = {
    "a run's result": ("run/result.json", ["hydra.run.dir=run"], "holds results;"),
    "a run's checkpoints": (
        "run/checkpoints/step_0000000049/manifest.json",
        ["hydra.run.dir=run"],
        "holds a run's checkpoints;",
    ),
    "a nested job's result": (
        "run/rnn/0/result.json",
        [*NESTED, "hydra.sweep.dir=run"],
        "holds results in run/rnn/0;",
    ),
    "a nested job's checkpoints": (
        "run/lstm/7/checkpoints/step_0000000001/state.safetensors",
        ["-m", "seed=0,1", "hydra.sweep.dir=run"],
        "holds a run's checkpoints in run/lstm/7;",
    ),
    "a sweep where a run is to go": (
        "run/a/b/c/result.json",
        ["hydra.run.dir=run"],
        "holds results in run/a/b/c;",
    ),
}


@pytest.mark.parametrize(("there", "arguments", "expected"), TAKEN.values(), ids=TAKEN)
def test_only_resume_goes_where_a_run_has_been(
    tmp_path, monkeypatch, capsys, there, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"dir=run: {expected}" in error
    assert "must be a new folder" in error
    resumable = there != "run/a/b/c/result.json"  # that run is elsewhere: resume=run finds none
    assert ("or use resume=run" in error) == resumable
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "folder", ["..", "link", *first_slow("/", "../..", ".", "../here", slow=0)]
)
@pytest.mark.parametrize("mode", ["run", "sweep"])
def test_results_do_not_go_where_all_else_is(tmp_path, monkeypatch, capsys, folder, mode):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here/link").symlink_to(tmp_path)
    flags = ["-m", "seed=0,1"] if mode == "sweep" else []
    assert main([*flags, f"hydra.{mode}.dir={folder}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"hydra.{mode}.dir={folder}: " in error
    assert "the current folder; must be one for the results alone" in error


def test_what_no_run_has_written_is_no_obstacle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/job.log").touch()
    (tmp_path / "run/.hydra").mkdir()
    assert main(["--dry-run", "hydra.run.dir=run"]) == 0
