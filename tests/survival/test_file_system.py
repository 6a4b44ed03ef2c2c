"""The model of a file system: what it may leave of each classic mistake, and of no other."""

import os
from random import Random

import pytest

from tests.survival.file_system import FileSystem
from tests.survival.recorder import Recorder, put, tree_of

NEW = os.O_WRONLY | os.O_CREAT


def after(*operations, tree=None):
    files = FileSystem(tree)
    for operation in operations:
        files.apply(operation)
    return files


def left(*operations, tree=None):
    """All that a cut may leave, each once."""
    found = []
    for state in after(*operations, tree=tree).states():
        if state not in found:
            found.append(state)
    return found


def test_a_file_that_is_not_synced_may_be_whole_or_gone_or_short_or_of_zeros():
    assert sorted(left(("open", "a", "1", NEW), ("write", "1", 0, b"word")), key=repr) == [
        {"a": b""}, {"a": b"\0\0\0\0"}, {"a": b"wo"}, {"a": b"word"}, {},
    ]  # fmt: skip


def test_a_synced_file_may_still_have_no_name():
    written = ("open", "a", "1", NEW), ("write", "1", 0, b"word"), ("fsync", "1")
    assert left(*written) == [{"a": b"word"}, {}]
    assert left(*written, ("open", "", "2", 0), ("fsync", "2")) == [{"a": b"word"}]


REPLACED = [("open", ".a", "1", NEW), ("write", "1", 0, b"new"), ("rename", ".a", "a")]


def test_renamed_without_a_sync_a_file_may_be_empty_where_an_old_one_was():
    found = left(*REPLACED, tree={"a": b"old"})
    assert {"a": b""} in found
    assert {"a": b"\0\0\0"} in found


def test_renamed_after_a_sync_it_is_the_old_or_the_new_one():
    found = left(*REPLACED[:2], ("fsync", "1"), REPLACED[2], tree={"a": b"old"})
    assert {state["a"] for state in found} == {b"old", b"new"}


def test_changes_of_two_names_may_be_reordered_and_those_of_one_name_not():
    found = left(("unlink", "a"), ("open", "b", "1", NEW), ("unlink", "c"), ("mkdir", "c"),
                 tree={"a": b"", "c": b""})  # fmt: skip
    assert {"b": b"", "a": b"", "c": b""} in found
    assert {"c": b""} in found
    assert {"a": b"", "c": None} in found
    assert {"b": b""} in found  # of c, the second change is lost alone
    assert all(state.get("c", b"") in (b"", None) for state in found)


def test_what_is_appended_may_be_lost_and_what_was_there_not():
    found = left(("open", "a", "1", os.O_WRONLY), ("ftruncate", "1", 2), ("write", "1", 2, b"xy"),
                 tree={"a": b"abc"})  # fmt: skip
    assert {state["a"] for state in found} == {b"abc", b"ab", b"abx", b"ab\0\0", b"abxy"}


def test_of_two_writes_the_second_may_be_there_and_the_first_not():
    found = left(("open", "a", "1", os.O_WRONLY), ("write", "1", 0, b"one"),
                 ("write", "1", 3, b"two"), tree={"a": b""})  # fmt: skip
    assert {"a": b"\0\0\0two"} in found
    assert {"a": b"one\0\0\0"} in found


def test_a_lost_folder_takes_along_what_was_synced_in_it():
    made = [("mkdir", "d"), ("open", "d/a", "1", NEW), ("write", "1", 0, b"word"), ("fsync", "1")]
    synced = [("open", "d", "2", 0), ("fsync", "2")]
    assert left(*made, *synced) == [{"d": None, "d/a": b"word"}, {}]


def test_a_folder_may_lose_its_files_before_its_name():
    found = left(("rename", "d", "gone"), ("unlink", "gone/a"), tree={"d": None, "d/a": b""})
    assert {"d": None} in found
    assert {"gone": None, "gone/a": b""} in found


def test_a_rename_into_another_folder_is_not_modeled():
    with pytest.raises(NotImplementedError, match="another folder, d/a"):
        after(("rename", "a", "d/a"), tree={"a": b"", "d": None})


def random_operations(random, count):
    """Operations as a program may do them, each of which succeeds."""
    files, opened = FileSystem({"d": None}), {}
    for number in range(count):
        names = [name for name, content in files.now().items() if content is not None]
        free = [f"{folder}{letter}" for folder in ("", "d/") for letter in "abcef"]
        kind = random.choice(["open", "write", "write", "fsync", "ftruncate", "rename", "unlink"])
        if kind == "open":
            path = random.choice(free)
            operation = ("open", path, str(number), NEW)
            opened[str(number)] = path
        elif kind in ("write", "ftruncate", "fsync") and opened:
            handle = random.choice(sorted(opened))
            more = {"write": (random.randrange(4), bytes([65 + number % 26]) * 3),
                    "ftruncate": (random.randrange(6),), "fsync": ()}[kind]  # fmt: skip
            operation = (kind, handle, *more)
        elif kind in ("rename", "unlink") and names:
            path = random.choice(names)
            target = path[:-1] + random.choice("abcef")
            operation = (kind, path, target) if kind == "rename" else (kind, path)
        else:
            continue
        if operation[0] == "rename" and operation[1] == operation[2]:
            continue
        files.apply(operation)
        yield operation, files


def sync_all(files):
    for place, path in enumerate(["", *sorted(files.now())]):
        files.apply(("open", path, f"sync{place}", 0))
        files.apply(("fsync", f"sync{place}"))


@pytest.mark.parametrize("seed", range(5))
def test_after_a_sync_of_everything_there_is_one_state(seed):
    random = Random(seed)
    *_, (_, files) = random_operations(random, 40)
    assert len({frozenset(state.items()) for state in files.states(random)}) > 10
    now = files.now()
    sync_all(files)
    assert all(state == now for state in files.states(random))


@pytest.mark.parametrize("seed", range(5))
def test_what_a_process_sees_is_among_the_states_and_what_was_synced_too(seed):
    random, synced = Random(seed), {"d": None}
    for number, (_, files) in enumerate(random_operations(random, 40)):
        states = list(files.states(random))
        assert files.now() in states
        assert len(states) > 1 or files.now() == synced
        if number % 10 == 0:
            sync_all(files)
            synced = files.now()


@pytest.mark.parametrize("seed", range(5))
def test_the_model_follows_a_real_file_system(tmp_path, monkeypatch, seed):
    """The same operations, done and recorded, leave what the model says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    before, expected, log, opened = tree_of(tmp_path), None, [], {}
    with Recorder(tmp_path, log.append):
        for (name, *arguments), model in random_operations(Random(seed), 40):
            expected = model.now()
            if name == "open":
                opened[arguments[1]] = os.open(arguments[0], arguments[2])
            elif name == "write":
                os.lseek(opened[arguments[0]], arguments[1], os.SEEK_SET)
                os.write(opened[arguments[0]], arguments[2])
            elif name in ("ftruncate", "fsync"):
                getattr(os, name)(opened[arguments[0]], *arguments[1:])
            else:
                getattr(os, name)(*arguments)
    for file in opened.values():
        os.close(file)
    recorded = after(*(operation for _, operation in log), tree=before)
    assert recorded.now() == expected == tree_of(tmp_path)


def test_nothing_outside_of_the_folder_is_recorded(tmp_path):
    inside, outside, log = tmp_path / "in", tmp_path / "out", []
    inside.mkdir()
    with Recorder(inside, log.append):
        outside.mkdir()
        (outside / "a").touch()
        for path in (outside / "a", inside / "b"):
            file = os.open(path, NEW)
            os.write(file, b"word")
            os.fsync(file)
            os.close(file)
        read, write = os.pipe()
        os.write(write, b"not for the disk")
    os.close(read), os.close(write)
    assert [operation[0] for _, operation in log] == ["open", "write", "fsync"]


def test_a_state_can_be_put_into_a_folder(tmp_path):
    tree = {"a": b"word", "d": None, "d/b": b"", "d/e": None}
    put(tree, tmp_path)
    assert tree_of(tmp_path) == tree
