"""Write and read the packed records of one fleet: three files for all its runs.

The files' names begin with the number of the fleet's first job. ``.runs.parquet`` has one row for
each run, ``.metrics.parquet`` one row for each run and logged step, ``.safetensors`` the final
parameters of all runs, if they are kept. The last file is written last, and holds the digests of
the other two: a fleet without it has not ended, and its jobs are run again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.packed_rows import (
    ADDED,
    JOB,
    PackedRun,
    metrics_rows,
    metrics_types,
    problem_of,
    run_rows,
    run_types,
)
from hw2exp.records.parameters import LARGEST_PARAMETERS, tensors_of
from hw2exp.records.parquet import read_table
from hw2exp.system import disk, regular_file

if TYPE_CHECKING:
    import polars

RUNS, METRICS, LAST = ".runs.parquet", ".metrics.parquet", ".safetensors"
LARGEST_FILE = 1 << 31  # bytes
DIGITS = 7
"""Least digits of a job's number in a file's name, so that names sort."""


def write_fleet(
    folder: Path,
    numbers: Sequence[int],
    swept: Mapping[str, Sequence[Any]],
    runs: Sequence[PackedRun],
) -> None:
    """Write the files of a fleet.

    Args:
        folder: the folder of the files.
        numbers: the numbers of the jobs, in rising order.
        swept: the swept values of the jobs by key.
        runs: the records of the jobs.
    """
    tables = {
        _path(folder, numbers[0], RUNS): run_rows(numbers, swept, runs),
        _path(folder, numbers[0], METRICS): metrics_rows(numbers, runs),
    }
    files = {path: _parquet(frame) for path, frame in tables.items()}
    disk.write_together(files)
    digests = [hashlib.sha256(content).hexdigest() for content in files.values()]
    about = {"sha256": " ".join(digests), "versions": json.dumps(dict(runs[0].result.versions))}
    disk.write_together({_path(folder, numbers[0], LAST): _tensors(numbers, runs, about)})


def ended_fleets(folder: Path) -> list[int]:
    """Return the number of the first job of each fleet whose files are whole."""
    names = (path.name.removesuffix(LAST) for path in folder.glob(f"*{LAST}"))
    numbers = (int(name) for name in names if name.isdecimal() and name.isascii())
    return sorted(n for n in numbers if _path(folder, n, LAST).is_file())


def remove_fleet(folder: Path, first: int) -> None:
    """Remove the files of a fleet; first the one that marks the fleet as ended.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.
    """
    for name in (LAST, RUNS, METRICS):
        disk.remove(_path(folder, first, name))
        disk.sync_path(folder)


def read_runs(folder: Path, first: int) -> "polars.DataFrame":
    """Read the rows of a fleet's runs: the swept values, and the columns of the result.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is damaged.
    """
    import polars

    types = run_types()
    rows = _read(folder, first, RUNS, {key: types[key] for key in types if key not in ADDED})
    lacking = [name for name in ADDED if name not in rows.columns]
    rows = rows.with_columns(polars.lit(None, types[name]).alias(name) for name in lacking)
    if problem := problem_of(rows):
        raise ValueError(f"{_path(folder, first, RUNS)}: {problem}")
    return rows


def read_metrics(folder: Path, first: int) -> "polars.DataFrame":
    """Read the metrics of a fleet's runs, one row for each run and logged step.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is damaged.
    """
    return _read(folder, first, METRICS, metrics_types())


def check_fleet(folder: Path, first: int) -> None:
    """Check that the files of a fleet are whole.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is damaged.
    """
    for name in (RUNS, METRICS):
        _content(folder, first, name)
    path = _path(folder, first, LAST)
    if _about(path).get("tensors") != _digest_of(read_parameters(folder, first)):
        raise ValueError(f"{path}: is damaged")
    versions_of(folder, first)


def read_parameters(folder: Path, first: int) -> dict[str, Any]:
    """Read the jobs of a fleet's runs, and their final parameters by name, each ``(R, ...)``.

    With ``packed_parameters=false`` there are only the jobs.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged.
    """
    path = _path(folder, first, LAST)
    return tensors_of(regular_file.read(path, LARGEST_PARAMETERS), str(path))


def versions_of(folder: Path, first: int) -> dict[str, str]:
    """Return the versions that made a fleet.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged.
    """
    path = _path(folder, first, LAST)
    try:
        versions = json.loads(_about(path).get("versions", ""))
        return {str(name): str(value) for name, value in versions.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: has no versions") from error


def _tensors(numbers: Sequence[int], runs: Sequence[PackedRun], about: Mapping[str, str]) -> bytes:
    from safetensors.numpy import save

    names = runs[0].params
    tensors: dict[str, NDArray[Any]] = {JOB: np.asarray(numbers, dtype=np.int64)}
    tensors |= {name: np.stack([run.params[name] for run in runs]) for name in names}
    return save(tensors, metadata={**about, "tensors": _digest_of(tensors)})


def _digest_of(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the digest of the arrays' names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _parquet(frame: "polars.DataFrame") -> bytes:
    content = BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def _read(folder: Path, first: int, name: str, known: Mapping[str, Any]) -> "polars.DataFrame":
    """Read a table that has at least some columns, of known types."""

    def problem(schema: "Mapping[str, polars.DataType]") -> str | None:
        wrong = [column for column, kind in known.items() if schema.get(column) != kind]
        return f"lacks columns or has wrong ones: {', '.join(wrong)}" if wrong else None

    return read_table(_path(folder, first, name), problem, _content(folder, first, name))


def _content(folder: Path, first: int, name: str) -> bytes:
    """Return the content of a file whose digest is known."""
    path = _path(folder, first, name)
    content = regular_file.read(path, LARGEST_FILE)
    digests = _about(_path(folder, first, LAST)).get("sha256", "").split()
    if hashlib.sha256(content).hexdigest() not in digests:
        raise ValueError(f"{path}: is not what {_path(folder, first, LAST).name} has the digest of")
    return content


def _about(path: Path) -> dict[str, str]:
    """Return the texts in the header of a safetensors file."""
    content = regular_file.read(path, LARGEST_PARAMETERS)
    size = int.from_bytes(content[:8], "little")
    try:
        about = json.loads(content[8 : 8 + size])["__metadata__"]
        return {str(name): str(text) for name, text in about.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: has no readable header") from error


def _path(folder: Path, first: int, name: str) -> Path:
    return folder / f"{first:0{DIGITS}d}{name}"
