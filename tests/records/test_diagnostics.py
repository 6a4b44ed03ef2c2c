import json
import math

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.records.diagnostics import (
    ADDED,
    COLUMNS,
    LISTS,
    NUMBERS,
    DiagnosticsTable,
    read_diagnostics,
)

numbers = st.floats(allow_nan=False)
rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(NUMBERS, numbers),
            **dict.fromkeys(LISTS, st.lists(numbers, min_size=1, max_size=4)),
        },
    ),
    max_size=5,
)


def table_of(rows):
    table = DiagnosticsTable()
    for place, row in enumerate(rows):
        table.append(3 * place + 1, row)
    return table


@given(rows, st.integers(0, 5))
def test_rows_come_back_from_their_bytes_with_every_bit(rows, written):
    table = table_of(rows)
    first = DiagnosticsTable()
    for step, row in list(table)[:written]:
        first.append(step, row)
    content = first.rows(0) + table.rows(len(first))
    assert list(DiagnosticsTable.of_rows(content)) == list(table)


def test_what_is_not_finite_comes_back_too():
    table = table_of([{"lyapunov": math.inf, "gradient_flow": [math.nan, -math.inf, 1e-300]}])
    ((step, row),) = DiagnosticsTable.of_rows(table.rows(0))
    assert step == 1
    assert row["lyapunov"] == math.inf
    assert math.isnan(row["gradient_flow"][0])
    assert row["gradient_flow"][1:] == [-math.inf, 1e-300]


@pytest.mark.parametrize(
    "content",
    [b"x", b"[1]", b"[1, 2]", b'[1, {"nonsense": 1.0}]', b'[1, {"lyapunov": [1.0]}]',
     b'[1, {"gradient_flow": 1.0}]', b"[2, {}]\n[1, {}]", b"[0, {}]",
     b"[9223372036854775808, {}]", b'["1", {}]\n["2", {}]', b"[" * 100_000],
)  # fmt: skip
def test_bytes_that_are_no_rows_are_refused(content):
    with pytest.raises(ValueError, match=r"."):
        DiagnosticsTable.of_rows(content)


def test_the_file_holds_every_column_with_nulls_where_nothing_was_measured(tmp_path):
    table = table_of([{"lyapunov": 0.5}, {"gradient_flow": [1.0, 2.0]}, {"sharpness": math.nan}])
    table.write(tmp_path / "diagnostics.parquet")
    frame = polars.read_parquet(tmp_path / "diagnostics.parquet")
    assert frame.columns == ["step", *COLUMNS]
    assert frame["step"].to_list() == [1, 4, 7]
    assert frame["lyapunov"].to_list() == [0.5, None, None]
    assert frame["gradient_flow"].to_list() == [None, [1.0, 2.0], None]
    assert frame["sharpness"].is_nan().to_list() == [None, None, True]
    assert read_diagnostics(tmp_path).equals(frame)
    assert table.list_column("gradient_flow") == ([4], [[1.0, 2.0]])


@pytest.mark.parametrize(
    "frame",
    [
        {"step": [1]},
        {"step": ["a"], **{name: [None] for name in COLUMNS}},
        {"step": [1], **{name: ["a"] for name in COLUMNS}},
    ],
)
def test_files_that_are_no_diagnostics_are_refused(tmp_path, frame):
    polars.DataFrame(frame).write_parquet(tmp_path / "diagnostics.parquet")
    with pytest.raises(ValueError, match=r"diagnostics\.parquet"):
        read_diagnostics(tmp_path)


@pytest.mark.parametrize("lacking", ["lyapunov_spread", "sharpness"])
def test_a_file_from_before_a_column_was_added_is_read_and_others_are_not(tmp_path, lacking):
    table_of([{"lyapunov": 0.5}]).write(tmp_path / "diagnostics.parquet")
    path = tmp_path / "diagnostics.parquet"
    before = polars.read_parquet(path)
    before.drop(lacking).write_parquet(path)
    if lacking in ADDED:
        assert read_diagnostics(tmp_path).select(before.columns).equals(before)
    else:
        with pytest.raises(ValueError, match="has no sharpness"):
            read_diagnostics(tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    table_of([{"lyapunov": 0.5}]).write(tmp_path / "diagnostics.parquet")
    path = tmp_path / "diagnostics.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"diagnostics\.parquet"):
        read_diagnostics(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises((OSError, ValueError)):
        read_diagnostics(tmp_path)


def test_a_column_must_be_of_its_kind_and_steps_must_rise():
    table = table_of([{}])
    for row in ({"nonsense": 1.0}, {"lyapunov": [1.0]}, {"attention": 1.0}):
        with pytest.raises(ValueError, match=r"catalog|list"):
            table.append(9, row)
    with pytest.raises(ValueError, match="step 1 after step 1"):
        table.append(1, {})
    assert json.loads(table.rows(0)) == [1, {}]
