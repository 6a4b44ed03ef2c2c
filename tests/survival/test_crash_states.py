"""Whatever a power cut leaves, a run and a sweep go on to the end that they have without one.

``python -m tests.survival.crash_states`` prints how many states were tried, and how many lost.
"""

from collections import Counter

import pytest

from tests.survival.crash_states import LIVES, PROMISES, Bench, program, sample
from tests.survival.file_system import FileSystem
from tests.tiers import first_slow

QUICK = 24
OFTEN = {"run", "extended"}
"""Lives of the quick suite."""

NIGHTLY = {"run": 700, "inspected": 500, "resumed": 250, "extended": 330, "drawn": 30, "sweep": 100,
        "swept further": 100}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Record a life, once."""
    known = {}

    def bench(name):
        if name not in known:
            known[name] = Bench(LIVES[name], tmp_path_factory.mktemp("bench"))
        return known[name]

    return bench


def reasons(bench, states):
    return Counter(filter(None, map(bench.lost, states)))


@pytest.mark.parametrize(
    "name", [*sorted(OFTEN), *first_slow(*sorted(LIVES.keys() - OFTEN, reverse=True))]
)
def test_a_run_resumes_from_what_is_left(bench, name):
    states = sample(bench(name).states(), QUICK)
    lost = reasons(bench(name), states)
    assert len(states) == QUICK
    assert not lost


def test_what_is_recorded_is_all_that_is_written(bench):
    files = FileSystem(bench("run").before)
    for operation in bench("run").operations:
        if operation[0] not in PROMISES:
            files.apply(operation)
    assert files.now() == bench("run").after


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["files", "folders"])
def test_a_run_that_syncs_nothing_would_be_found(bench, monkeypatch, lost):
    """Had it not waited for its files, or for its folders, some states would be lost."""
    whole = bench("run")
    paths = {o[2]: o[1] for o in whole.operations if o[0] == "open"}
    of_folders = {handle for handle, path in paths.items() if whole.after.get(path, b"") is None}
    kept = [
        operation
        for operation in whole.operations
        if operation[0] != "fsync" or (operation[1] in of_folders) != (lost == "folders")
    ]
    monkeypatch.setattr(whole, "operations", kept)
    assert reasons(whole, whole.states()[-12:])


@pytest.mark.nightly
@pytest.mark.parametrize("name", LIVES)
def test_every_life_resumes_from_what_is_left(bench, name):
    states = bench(name).states()
    if name == "drawn":  # until it draws, it is like any run
        states = states[next(n for n, state in enumerate(states) if "curve" in state.cut) :]
    states = sample(states, NIGHTLY[name])
    lost = reasons(bench(name), states)
    assert len(states) == NIGHTLY[name]
    assert not lost


def test_enough_states_are_tried():
    assert sum(NIGHTLY.values()) >= 2000


def test_what_was_tried_is_printed(capsys):
    assert program(2, ["run"]) == 0
    assert "2 tried, 0 lost\n2 states tried, 0 lost" in capsys.readouterr().out
