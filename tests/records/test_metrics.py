import hashlib
import os
import struct

import numpy as np
import polars
import pytest

from hw2exp.records.metrics import CATALOG, MetricsTable, digest_of_frame, read_metrics

QUIET_NAN = bytes.fromhex("000000000000f87f")


def table(*rows):
    made = MetricsTable()
    for step, row in rows:
        made.append(step, row)
    return made


def test_the_catalog_names_each_column_and_tag_once():
    assert list(CATALOG) == [
        "loss_train", "loss_train_max", "accuracy_train", "grad_norm_raw", "grad_norm_raw_max",
        "grad_norm_clipped", "update_norm_max", "lr", "loss_test", "loss_test_last",
        "accuracy_test",
    ]  # fmt: skip
    assert [tag for tag, _ in CATALOG.values()] == [
        "loss/train", "loss/train_max", "accuracy/train", "grad_norm/raw", "grad_norm/raw_max",
        "grad_norm/clipped", "update_norm/max", "lr", "loss/test", "loss/test_last",
        "accuracy/test",
    ]  # fmt: skip


def test_the_file_tells_missing_from_a_measured_nan(tmp_path):
    rows = table((1, {"loss_train": 1.5, "lr": 0.1}), (7, {"loss_train": float("nan")}))
    rows.write(tmp_path / "metrics.parquet")
    frame = polars.read_parquet(tmp_path / "metrics.parquet")
    assert frame.columns == ["step", *CATALOG]
    assert frame.schema["step"] == polars.Int64
    assert {frame.schema[name] for name in CATALOG} == {polars.Float64}
    assert frame["step"].to_list() == [1, 7]
    assert frame["lr"].to_list() == [0.1, None]
    assert frame["loss_train"].is_null().to_list() == [False, False]
    assert frame["loss_train"].is_nan().to_list() == [False, True]
    assert frame["loss_test"].null_count() == 2


def test_column_and_last():
    rows = table((1, {"lr": 0.1, "loss_test": 2.0}), (2, {"lr": 0.2}))
    assert rows.steps.tolist() == [1, 2]
    assert rows.column("lr").tolist() == [0.1, 0.2]
    np.testing.assert_array_equal(rows.column("loss_test"), [2.0, np.nan])
    assert rows.last("loss_test") == 2.0
    assert rows.last("accuracy_test") is None
    assert len(rows) == 2


def test_the_digest_is_that_of_the_documented_bytes():
    negative_nan = -np.float64("nan")
    rows = table((3, {"loss_train": 1.5, "lr": negative_nan}), (9, {"loss_train": -0.0}))
    content = b""
    for name in sorted(["step", *CATALOG]):
        content += name.encode()
        if name == "step":
            content += struct.pack("<2q", 3, 9)
        elif name == "loss_train":
            content += struct.pack("<2d", 1.5, -0.0)
        else:
            content += 2 * QUIET_NAN
    assert rows.digest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("rows", [
    [],
    [(1, {"loss_train": 1.5})],
    [(1, {"loss_train": float("nan"), "loss_test": 1.0}), (2, {"loss_train": float("inf")})],
])  # fmt: skip
def test_the_file_has_the_digest_of_the_table(tmp_path, rows):
    table(*rows).write(tmp_path / "metrics.parquet")
    assert digest_of_frame(read_metrics(tmp_path / "metrics.parquet")) == table(*rows).digest()


def test_the_digest_sees_the_last_bit_and_the_step():
    one = table((1, {"lr": 0.1})).digest()
    assert table((1, {"lr": np.nextafter(0.1, 1)})).digest() != one
    assert table((2, {"lr": 0.1})).digest() != one
    assert table((1, {"loss_train": 0.1})).digest() != one


def test_an_unknown_column_or_a_step_out_of_order_is_refused():
    rows = table((5, {"lr": 0.1}))
    with pytest.raises(ValueError, match="los_train"):
        rows.append(6, {"los_train": 1.0})
    with pytest.raises(ValueError, match="step 5 after step 5"):
        rows.append(5, {"lr": 0.1})
    assert rows.steps.tolist() == [5]


@pytest.fixture
def path(tmp_path):
    table((1, {"lr": 0.1, "loss_train": 1.5}), (7, {"lr": 0.2})).write(tmp_path / "metrics.parquet")
    return tmp_path / "metrics.parquet"


def test_a_file_of_before_a_column_came_is_read(path):
    polars.read_parquet(path).drop("update_norm_max").write_parquet(path)
    assert read_metrics(path).columns == ["step", *(c for c in CATALOG if c != "update_norm_max")]


TEXT, NOTHING = polars.lit("x"), polars.lit(None, polars.Int64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("step"), "has no step"),
        (lambda frame: frame.drop("lr", "loss_train"), "has no loss_train, lr"),
        (lambda frame: frame.with_columns(TEXT.alias("more")), "not in the catalog"),
        (lambda frame: frame.with_columns(TEXT.alias("lr")), "lr: must be numbers"),
        (lambda frame: frame.with_columns(TEXT.alias("step")), "step: must be integers"),
        (lambda frame: frame.with_columns(polars.col("step") - 1), "step: must rise from 1 on"),
        (lambda frame: frame.with_columns(polars.col("step") * 2**31), "step: must be at most"),
        (lambda frame: frame.reverse(), "step: must rise from 1 on"),
        (lambda frame: frame.with_columns(NOTHING.alias("step")), "step: must rise from 1 on"),
    ],
)
def test_other_columns_are_refused(path, change, message):
    change(polars.read_parquet(path)).write_parquet(path)
    with pytest.raises(ValueError, match=rf"metrics\.parquet: {message}"):
        read_metrics(path)


def test_a_damaged_file_is_refused(path):
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"garbage" * 100, whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"metrics\.parquet: "):
            read_metrics(path)


def test_a_file_that_never_ends_is_refused(path):
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_metrics(path)
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"metrics\.parquet is no file"):
        read_metrics(path)
