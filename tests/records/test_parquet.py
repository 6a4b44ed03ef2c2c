"""Tables that others may have written: what they decode to is known before they are decoded."""

from contextlib import suppress
from io import BytesIO

import numpy as np
import polars
import pytest

from hw2exp.config.run_files import DIAGNOSTICS, METRICS
from hw2exp.records.diagnostics import LISTS, NUMBERS, read_diagnostics
from hw2exp.records.metrics import CATALOG, read_metrics
from hw2exp.records.parquet import check_size

MANY = 10_000_000


def parquet(columns, **options):
    content = BytesIO()
    polars.DataFrame(columns).write_parquet(content, **options)
    return content.getvalue()


def test_a_long_list_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    columns = {"step": [1], **{n: [1.0] for n in NUMBERS}, **{n: [[1.0]] for n in LISTS}}
    (tmp_path / DIAGNOSTICS).write_bytes(parquet(columns))
    assert len(read_diagnostics(tmp_path)) == 1
    content = parquet(columns | {"attention": [np.zeros(MANY)]})
    assert len(content) < 20_000
    (tmp_path / DIAGNOSTICS).write_bytes(content)
    monkeypatch.setattr(polars, "read_parquet", lambda _: pytest.fail("was decoded"))
    with pytest.raises(ValueError, match="decodes to far more than it has bytes"):
        read_diagnostics(tmp_path)


def test_many_rows_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    columns = {"step": polars.arange(1, 3, eager=True), **dict.fromkeys(CATALOG, 1.0)}
    (tmp_path / METRICS).write_bytes(parquet(columns))
    assert len(read_metrics(tmp_path / METRICS)) == 2
    rows = polars.repeat(1, 2_000_000, dtype=polars.Int64, eager=True)
    (tmp_path / METRICS).write_bytes(parquet({"step": rows, **dict.fromkeys(CATALOG, 1.0)}))
    monkeypatch.setattr(polars, "read_parquet", lambda _: pytest.fail("was decoded"))
    with pytest.raises(ValueError, match=r"metrics\.parquet: decodes to far more"):
        read_metrics(tmp_path / METRICS)


@pytest.mark.parametrize("kind", ["a text", "lists of lists", "nothing"])
def test_what_nobody_asked_for_counts_too(kind):
    column = {
        "a text": ["x" * 8 * MANY],
        "lists of lists": polars.Series(np.zeros((1, 8, MANY // 8))).arr.to_list(),
        "nothing": polars.repeat(None, MANY, dtype=polars.Float64, eager=True),
    }[kind]
    with pytest.raises(ValueError, match="decodes to far more than it has bytes"):
        check_size(parquet({"other": column}))


def test_a_page_has_no_more_values_than_its_column_says():
    """The file's end says one thing, the page another, which is what a decoder believes."""
    content = parquet({"step": [5] * 1000}, use_pyarrow=False, statistics=False)
    honest = bytes([0x16, 0xD0, 0x0F])  # 1000, as a field of Thrift's compact protocol
    at = content.rindex(honest[1:], 0, content.rindex(honest[1:]))  # of the column, not of the rows
    check_size(content)
    with pytest.raises(ValueError, match="more values than it says"):
        check_size(content[:at] + bytes([0xCE, 0x0F]) + content[at + 2 :])


def test_tables_of_long_runs_are_read():
    """As floats of 32 bits compress, and where most columns are empty."""
    rng = np.random.default_rng(0)
    rows = 300_000
    values = {f"m{n}": rng.normal(size=rows).astype("f4").astype("f8") for n in range(2)}
    empty = {f"e{n}": polars.Series([None] * rows, dtype=polars.Float64) for n in range(16)}
    check_size(parquet({"step": np.arange(rows), **values, **empty}))


def test_damaged_bytes_are_refused_in_one_line():
    content = parquet({"step": [1, 2, 3], "a": [1.0, 2.0, 3.0], "l": [[1.0], [2.0], []]})
    check_size(content)
    rng = np.random.default_rng(0)
    for cut in range(0, len(content), 7):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            check_size(content[:cut])
    for _ in range(2000):
        changed = bytearray(content)
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        with suppress(ValueError):  # and nothing else
            check_size(bytes(changed))
