"""A fleet's task finds its own start: it may be repeated, whatever an earlier worker has done."""

import shutil
import time
from contextlib import ExitStack
from types import SimpleNamespace

from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.run_dir import RunResult
from hw2exp.sweeps.fleet_task import train_fleet
from hw2exp.system import lock
from hw2exp.system.interrupt import Interrupt

SHORT = (
    "task=easy", "model=rnn", "batch_size=4", "steps=40", "eval_every=20", "eval_batches=1",
    "checkpoint_every=10", "keep_checkpoints=9", "plot=false",
)  # fmt: skip


def digests(outcomes):
    assert all(isinstance(each, RunResult) for each in outcomes)
    return [(each.status, each.parameters_sha256, each.metrics_sha256) for each in outcomes]


def copy_until(step, whole, folder):
    """Leave a run as it was once it had saved the checkpoint of a step."""
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    (folder / "result.json").unlink()
    for path in (folder / "checkpoints").glob("step_*"):
        if int(path.name[-10:]) > step:
            shutil.rmtree(path)


def test_runs_at_different_places_end_as_if_whole(compose, tmp_path):
    configs = [compose(*SHORT, f"seed={seed}") for seed in range(4)]
    values = [config.model_dump() for config in configs]
    whole = [tmp_path / "whole" / str(seed) for seed in range(4)]
    expected = train_fleet(tmp_path / "whole.json", values, whole)
    folders = [tmp_path / "again" / str(seed) for seed in range(4)]
    train_fleet(tmp_path / "0.json", values[:1], folders[:1])  # 0 has ended
    for seed, kept in ((1, 20), (2, 39)):  # 1 and 2 are at checkpoints, 3 has not begun
        copy_until(kept, whole[seed], folders[seed])
    there = {seed: newest(folders[seed], print) for seed in range(4)}
    before = (folders[0] / "result.json").stat().st_mtime_ns
    noted = []
    shutil.copy(tmp_path / "0.json", tmp_path / "again.json")
    outcomes = train_fleet(
        tmp_path / "again.json", values, folders, worker="here:2", note=noted.append
    )
    assert digests(outcomes) == digests(expected)
    assert len({each.step for each in there.values() if each}) == 2
    assert (folders[0] / "result.json").stat().st_mtime_ns == before
    assert len(noted) == 1
    assert "resumes at step 1 at here:2" in noted[0]


def test_told_to_end_it_saves_and_says_so(compose, tmp_path):
    values = [compose(*SHORT, "steps=4000").model_dump()]
    interrupt = Interrupt([])
    interrupt.tell(15)
    folders = [tmp_path / "run"]
    (outcome,) = train_fleet(tmp_path / "0.json", values, folders, interrupt)
    assert type(outcome).__name__ == "NotRun"


def test_it_resumes_from_what_the_holder_of_a_run_saves_last(compose, tmp_path, monkeypatch):
    values, whole, folder = [compose(*SHORT).model_dump()], tmp_path / "whole", tmp_path / "run"
    expected = train_fleet(tmp_path / "progress", values, [whole])
    copy_until(20, whole, folder)
    other, noted = ExitStack(), []

    def save_and_let_go(seconds):
        copy_until(30, whole, folder)
        other.close()

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=save_and_let_go)
    with monkeypatch.context() as patched, other:
        other.enter_context(lock.locked(folder / lock.LOCK, patience=0))
        patched.setattr(lock, "time", clock)
        outcomes = train_fleet(tmp_path / "progress", values, [folder], note=noted.append)
    assert "resumes at step 31" in noted[0]
    assert digests(outcomes) == digests(expected)
