"""Write and read the packed records of one fleet: three files for all its runs.

The files begin with the number of the fleet's first job. ``.runs.parquet`` has one row a run,
``.metrics.parquet`` one row a run and logged step, ``.safetensors`` the final parameters of all
runs. The last is written last, and holds the digests of the other two: a fleet without it has not
ended, and its jobs are run again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import LARGEST_PARAMETERS, Parameters, tensors_of
from hw2exp.records.parquet import read_table
from hw2exp.records.result_rows import result_columns, result_types
from hw2exp.records.run_dir import RunResult
from hw2exp.records.step_table import STEP
from hw2exp.system import disk, regular_file

if TYPE_CHECKING:
    import polars

RUNS, METRICS, LAST = ".runs.parquet", ".metrics.parquet", ".safetensors"
JOB, LAST_LOSS = "job", "last_loss"

LAST_STEPS = 20
"""Steps at a run's end of which ``last_loss`` is the mean training loss."""

LARGEST_FILE = 1 << 31  # bytes
DIGITS = 7
"""Least digits of a job's number in a file's name, so that names sort."""


@dataclass(frozen=True)
class PackedRun:
    """The records of a run.

    Args:
        result: the result; its config is not used.
        last_loss: the mean training loss of the run's last steps; None if it diverged.
        table: the metrics.
        params: the final parameters.
    """

    result: RunResult
    last_loss: float | None
    table: MetricsTable
    params: Parameters


def write_fleet(
    folder: Path,
    numbers: Sequence[int],
    swept: Mapping[str, Sequence[Any]],
    runs: Sequence[PackedRun],
) -> None:
    """Write the files of a fleet.

    Args:
        folder: the folder of the files.
        numbers: the numbers of the jobs, rising.
        swept: the swept values of the jobs by key.
        runs: their records.
    """
    tables = {
        _path(folder, numbers[0], RUNS): _run_rows(numbers, swept, runs),
        _path(folder, numbers[0], METRICS): _metrics_rows(numbers, runs),
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


def run_types() -> dict[str, Any]:
    """Return the types of the columns that every table of runs has."""
    import polars

    return {JOB: polars.Int64, LAST_LOSS: polars.Float64, **result_types()}


def metrics_frame() -> "polars.DataFrame":
    """Return a table of metrics without rows."""
    import polars

    kinds = {JOB: polars.Int64, STEP: polars.Int64, **dict.fromkeys(CATALOG, polars.Float64)}
    return polars.DataFrame(schema=kinds)


def remove_fleet(folder: Path, first: int) -> None:
    """Remove the files of a fleet, the one that says that it has ended first.

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
    return _read(folder, first, RUNS, _problem)


def read_metrics(folder: Path, first: int) -> "polars.DataFrame":
    """Read the metrics of a fleet's runs, one row for each run and logged step.

    Args:
        folder: the folder of the files.
        first: the number of the fleet's first job.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is damaged.
    """
    columns = {JOB, STEP, *CATALOG}

    def wrong(schema: "Mapping[str, polars.DataType]") -> str | None:
        numbers = all(kind.is_numeric() for kind in schema.values())
        return None if set(schema) == columns and numbers else "has other columns"

    return _read(folder, first, METRICS, wrong)


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


def read_parameters(folder: Path, first: int) -> dict[str, Any]:
    """Read the final parameters of a fleet's runs by name, each ``(R, ...)``, and their jobs.

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


def _run_rows(
    numbers: Sequence[int], swept: Mapping[str, Sequence[Any]], runs: Sequence[PackedRun]
) -> "polars.DataFrame":
    import polars

    return polars.DataFrame(
        [
            polars.Series(JOB, numbers, dtype=polars.Int64),
            *(polars.Series(key, values) for key, values in swept.items()),
            polars.Series(LAST_LOSS, [run.last_loss for run in runs], dtype=polars.Float64),
            *result_columns([run.result for run in runs]),
        ]
    )


def _metrics_rows(numbers: Sequence[int], runs: Sequence[PackedRun]) -> "polars.DataFrame":
    import polars

    tables = [run.table for run in runs]
    jobs = np.repeat(np.asarray(numbers, dtype=np.int64), [len(table) for table in tables])
    steps = np.concatenate([table.steps for table in tables])
    values = {name: [value for t in tables for value in t.values(name)] for name in CATALOG}
    return polars.DataFrame(
        [
            polars.Series(JOB, jobs),
            polars.Series(STEP, steps),
            *(polars.Series(name, own, dtype=polars.Float64) for name, own in values.items()),
        ]
    )


def _tensors(numbers: Sequence[int], runs: Sequence[PackedRun], about: Mapping[str, str]) -> bytes:
    from safetensors.numpy import save

    names = runs[0].params
    tensors: dict[str, NDArray[Any]] = {JOB: np.asarray(numbers, dtype=np.int64)}
    tensors |= {name: np.stack([run.params[name] for run in runs]) for name in names}
    return save(tensors, metadata={**about, "tensors": _digest_of(tensors)})


def _digest_of(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the digest of arrays: of their names, in order, and their bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _parquet(frame: "polars.DataFrame") -> bytes:
    content = BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def _read(folder: Path, first: int, name: str, wrong: Any) -> "polars.DataFrame":
    return read_table(_path(folder, first, name), wrong, _content(folder, first, name))


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


def _problem(schema: "Mapping[str, polars.DataType]") -> str | None:
    """Return the reason why columns of these types are not those of runs, or None."""
    wrong = [name for name, kind in run_types().items() if schema.get(name) != kind]
    return f"lacks columns or has wrong ones: {', '.join(wrong)}" if wrong else None


def _path(folder: Path, first: int, name: str) -> Path:
    return folder / f"{first:0{DIGITS}d}{name}"
