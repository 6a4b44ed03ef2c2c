"""The order of the system's operations: what counts is on the disk before it has its name."""

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from hw2exp.records.write_order import clear
from hw2exp.runs.fleet_run import run_fleet
from hw2exp.system import disk
from hw2exp.train import main

NOTED = ("mkdir", "open", "write", "ftruncate", "fsync", "replace", "rename", "rmdir", "unlink")


class Notes:
    """The system, with what is asked of it noted; one operation may fail."""

    def __init__(self, failing=None):
        self.done, self.failing, self.names = [], failing, {}

    def __getattr__(self, name):
        return getattr(os, name) if name not in NOTED else lambda *a, **k: self._do(name, *a, **k)

    def _do(self, name, *args, **kwargs):
        what = self.names.get(args[0], Path(args[0]).name if isinstance(args[0], Path) else "?")
        if isinstance(args[0], Path) and args[0].is_dir() and name == "open":
            what = f"{what}/"
        if name == self.failing:
            raise OSError(28, "No space left on device")
        answer = getattr(os, name)(*args, **kwargs)
        if name == "open":
            self.names[answer] = what
        elif name != "mkdir" or "part" in what:
            self.done.append(f"{name} {what}")
        return answer


@pytest.fixture
def notes(monkeypatch):
    noted = Notes()
    monkeypatch.setattr(disk, "os", noted)
    return noted


def test_a_file_is_on_the_disk_before_it_has_its_name(notes, tmp_path):
    disk.write(tmp_path / "a", b"x")
    part = f".a.{os.getpid()}.part"
    assert notes.done == [f"write {part}", f"fsync {part}", f"replace {part}"]


def test_a_run_has_its_result_once_its_files_are_on_the_disk(notes, tmp_path, compose):
    config = compose("task=easy", "model=rnn", "steps=2", "check_initial_loss=off")
    run_fleet([config], [tmp_path / "run"], show=False)
    order = [word for word in notes.done if not word.startswith("write")]
    result = order.index(f"fsync .result.json.{os.getpid()}.part")
    events = next((tmp_path / "run").glob("events*")).name
    names = {"metrics.parquet", "parameters.safetensors", "curve.png", "curve.svg"}
    settled = {f"fsync {name}" for name in (*names, events, "run/")}
    assert set(order[:result][-len(settled) :]) == settled
    replaced = {word for word in order[:result] if word.startswith("replace")}
    assert replaced == {f"replace .{name}.{os.getpid()}.part" for name in names}
    assert order[result + 1 :] == [f"replace .result.json.{os.getpid()}.part", "fsync run/"]


def test_records_are_on_the_disk_before_anything_else(notes, tmp_path, monkeypatch):
    words = ["task=easy", "model=rnn", "steps=2", "plot=false", "check_initial_loss=off"]
    assert main([*words, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    records = [f"fsync {name}" for name in ("config.yaml", "hydra.yaml", "overrides.yaml")]
    first = min(notes.done.index(word) for word in [*records, "fsync .hydra/", "fsync run/"])
    assert set(notes.done[first : first + 5]) == {*records, "fsync .hydra/", "fsync run/"}
    begun = [word.split(".")[1] for word in notes.done[:first] if word.startswith("write")]
    assert begun == ["config", "hydra", "overrides"]


def test_a_resumed_run_has_no_result_before_anything_else_changes(notes, tmp_path):
    for name in ("metrics.parquet", "result.json", "events.out.tfevents.1"):
        (tmp_path / name).touch()
    clear(tmp_path)
    names = ["metrics.parquet", "events.out.tfevents.1"]
    assert notes.done == [
        "unlink result.json", f"fsync {tmp_path.name}/",
        *(f"unlink {name}" for name in names), f"fsync {tmp_path.name}/",
    ]  # fmt: skip
    notes.done.clear()
    clear(tmp_path)
    assert not notes.done


def test_files_that_are_written_together_wait_together(notes, tmp_path):
    (tmp_path / "x").mkdir()
    disk.write_together({tmp_path / "a": b"1", tmp_path / "x/b": b"2"})
    syncs, names = notes.done[2:4], notes.done[4:6]
    parts = [f".{name}.{os.getpid()}.part" for name in "ab"]
    assert sorted(syncs) == [f"fsync {part}" for part in parts]
    assert names == [f"replace {part}" for part in parts]
    assert set(notes.done[6:]) == {f"fsync {tmp_path.name}/", "fsync x/"}


def test_of_a_folder_too(notes, tmp_path):
    disk.publish(tmp_path / "a", {"x": b"1", "y": b"2"})
    part = ".a.part"
    assert notes.done == [
        f"mkdir {part}", "write x", "fsync x", "write y", "fsync y", f"fsync {part}/",
        f"rename {part}", f"fsync {tmp_path.name}/",
    ]  # fmt: skip
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == {
        "x": b"1",
        "y": b"2",
    }


def test_what_is_added_is_on_the_disk(notes, tmp_path):
    disk.append(tmp_path / "a", 0, b"abc")
    disk.append(tmp_path / "a", 2, b"d")
    assert (tmp_path / "a").read_bytes() == b"abd"
    assert notes.done == ["ftruncate a", "write a", "fsync a"] * 2


def test_the_name_of_a_new_folder_is_on_the_disk(notes, tmp_path):
    disk.make_folder(tmp_path / "a/b")
    assert notes.done == [f"fsync {tmp_path.name}/", "fsync a/"]
    disk.make_folder(tmp_path / "a/c", sync=False)
    assert len(notes.done) == 2


def test_a_stream_is_cut_back_and_knows_its_digest(tmp_path):
    path = tmp_path / "a"
    first = disk.Stream(path)
    first.write(b"one two")
    first.flush()
    first.close()
    second = disk.Stream(path, at=4)
    assert path.read_bytes() == b"one "
    second.write(b"three")
    second.flush()
    assert path.read_bytes() == b"one three"
    assert second.tell() == 9
    assert second.sha256() == sha256(b"one three").hexdigest()
    second.close()
    third = disk.Stream(path, at=9)
    assert third.sha256() == second.sha256()
    third.close()


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch, failing):
    disk.write(tmp_path / "a", b"old")
    monkeypatch.setattr(disk, "os", Notes(failing))
    with pytest.raises(OSError, match="No space left"):
        disk.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_macos_is_asked_to_write_through_the_disks_cache(notes, tmp_path, monkeypatch):
    """Its fsync stops before that cache; a file system that can't is asked for fsync."""
    asked = []

    def full(file, request):
        asked.append(request)
        if len(asked) > 1:
            raise OSError({2: errno.ENOTSUP, 3: errno.EIO}[len(asked)], "not here")

    monkeypatch.setattr(disk, "FULL", 51)
    monkeypatch.setattr(disk.fcntl, "fcntl", full)
    disk.write(tmp_path / "a", b"a")
    assert asked == [51]
    assert [word.split()[0] for word in notes.done] == ["write", "replace"]
    disk.write(tmp_path / "b", b"b")
    assert asked == [51, 51]
    assert [word.split()[0] for word in notes.done[2:]] == ["write", "fsync", "replace"]
    with pytest.raises(OSError, match="not here"):  # a broken disk is not one that can't
        disk.write(tmp_path / "c", b"c")
    assert not (tmp_path / "c").exists()
