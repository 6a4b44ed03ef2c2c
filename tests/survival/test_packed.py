"""Killed at any operation, or failed by its disk, a sweep with packed records has all its runs."""

import pytest

from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_fleet import ended_fleets, read_parameters


def record(folder):
    """All that the runs of a sweep have left by job, but how long they took."""
    sweep = PackedSweep.read(folder)
    params = {}
    for first in ended_fleets(sweep.path):
        tensors = {name: own.tolist() for name, own in read_parameters(sweep.path, first).items()}
        params |= {
            job: {name: own[row] for name, own in tensors.items()}
            for row, job in enumerate(tensors["job"])
        }
    return sweep.runs().drop("seconds").rows(), sweep.metrics().rows(), params


def check(folder):
    whole = record(folder / "whole/run")
    assert [row[0] for row in whole[0]] == list(range(4)) == sorted(whole[2])
    for run in folder.glob("*/run"):
        assert record(run) == whole, run
        names = {path.name for path in (run / "packed").iterdir()} - {"sweep.json"}
        assert len(names) == 3 * len({name.partition(".")[0] for name in names})


@pytest.mark.nightly
@pytest.mark.parametrize(("share", "fault"), [(0, "kill"), (1, "fail")])
def test_every_second_operation_of_a_packed_sweep_goes_wrong(lives, tmp_path, share, fault):
    """The others go wrong in the other way; and one more does, where the sweep resumes."""
    told = lives("packed", fault, tmp_path, share, 2)[fault]
    assert told["failures"] == []
    assert told["operations"] > 30
    assert told["cases"] >= told["operations"] // 2
    check(tmp_path / fault)


@pytest.mark.slow
def test_some_operations_of_a_packed_sweep_go_wrong(lives, tmp_path):
    """A few of the above at each landing."""
    for fault, told in lives("packed", "kill+fail", tmp_path, 13, 40).items():
        assert told["failures"] == []
        assert told["cases"] >= 1
        check(tmp_path / fault)
