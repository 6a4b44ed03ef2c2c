"""Tables of moments come back as they were written; foreign files are refused with a reason."""

import os
from types import SimpleNamespace

import polars
import pytest

from hw2exp.records.moments import BRANCH, MOMENT, asked_of, read_moments, write_moments

ROW = {"moment": "spike", "number": 1, "start": 90, "end": 93, "stage": 0.5, "lead": 10}
RESULT = SimpleNamespace(metrics_sha256="r", spikes=[{"start": 90}])


def test_a_table_and_its_request_come_back(tmp_path):
    path = tmp_path / "signals.parquet"
    rows = polars.DataFrame([ROW | {"more": 1.0}])
    write_moments(path, rows, {"asked": "all", "run": "r"})
    assert read_moments(path, MOMENT, RESULT).rows(named=True) == [ROW]
    assert read_moments(path, MOMENT | {"more": float}, RESULT).width == len(MOMENT) + 1
    assert asked_of(path)["asked"] == "all"
    assert asked_of(tmp_path / "none") is None
    with pytest.raises(ValueError, match="another run"):
        read_moments(path, MOMENT, SimpleNamespace(metrics_sha256="s", spikes=RESULT.spikes))


@pytest.mark.parametrize("change", [{"start": 91}, {"number": 2}])
def test_a_spike_that_is_not_the_runs_is_refused(tmp_path, change):
    path = tmp_path / "signals.parquet"
    write_moments(path, polars.DataFrame([ROW | change]), {"run": "r"})
    with pytest.raises(ValueError, match="not the run's"):
        read_moments(path, MOMENT, RESULT)
    quiet = ROW | change | {"moment": "quiet"}
    write_moments(path, polars.DataFrame([quiet]), {"run": "r"})
    assert read_moments(path, MOMENT, RESULT).rows(named=True) == [quiet]


def test_a_pipe_in_place_of_a_table_is_no_answer(tmp_path):
    os.mkfifo(tmp_path / "branches.parquet")
    assert asked_of(tmp_path / "branches.parquet") is None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (ROW, "has no do"),
        ({**ROW, "number": 1.5}, "number: must be int"),
        ({**ROW, "moment": 3}, "moment: must be str"),
    ],
)
def test_a_foreign_table_is_refused(tmp_path, row, problem):
    path = tmp_path / "branches.parquet"
    write_moments(path, polars.DataFrame([row]), {})
    with pytest.raises(ValueError, match=problem):
        read_moments(path, BRANCH, RESULT)


def test_no_parquet_is_refused(tmp_path):
    path = tmp_path / "branches.parquet"
    path.write_bytes(b"PAR1 and more PAR1")
    assert asked_of(path) is None
    with pytest.raises(ValueError, match=r"branches\.parquet"):
        read_moments(path, BRANCH, RESULT)
