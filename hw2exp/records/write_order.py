"""Order a run's writes so that a power cut loses nothing.

A power cut keeps all synced data, and any part of the rest: perhaps a name without its content, or
a new file without the removal that came before it. So there are five rules:

1. Hydra's records are written first: a folder records its job before it holds anything else.
2. ``result.json`` is written last. A run with a result is never changed again, so all its other
   files must already be on the disk, under their names.
3. ``result.json`` is removed first. A resumed run removes it, and syncs the removal, before
   anything else changes: no result may lie beside files of another length.
4. A checkpoint's folder gets its name after its own files, the rows and the kept spikes are on the
   disk.
5. A file that replaces one still in use is on the disk before it gets the name.

Files for display only (events between two checkpoints, the sweep's arms) are not synced, because
they can be made again. Runs that end together sync together, at little more than one sync's cost.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw2exp.config.run_files import (
    CONFIG,
    DIAGNOSTICS,
    DRAWN,
    EVENTS,
    METRICS,
    PARAMETERS,
    RESULT,
    SPIKES,
)
from hw2exp.records.run_dir import RunResult
from hw2exp.system import disk
from hw2exp.system.lock import LOCK


def clear(folder: Path, events: bool = True, spikes: bool = True) -> None:
    """Remove the files that a run will write again (rule 3).

    Args:
        folder: the run folder.
        events: whether to remove TensorBoard's files too.
        spikes: whether to remove the kept spikes too.
    """
    if (folder / RESULT).exists():
        disk.remove(folder / RESULT)
        disk.sync_path(folder)
    patterns = [f".*{disk.PART}", METRICS, PARAMETERS, DIAGNOSTICS, *DRAWN]
    patterns += [*[EVENTS] * events, *[SPIKES] * spikes]
    old = [path for pattern in patterns for path in folder.glob(pattern)]
    for path in old:
        disk.remove(path)
    if old:
        disk.sync_path(folder)


def settle_records(folders: Iterable[Path]) -> None:
    """Sync Hydra's records of runs, where there are any, and their names (rule 1)."""
    records = {(folder / CONFIG).parent: folder for folder in folders}
    there = {path: folder for path, folder in records.items() if path.is_dir()}
    files = [file for path in there for file in _files(path)]
    disk.sync_together([*files, *there, *there.values()])


def settle(*folders: Path) -> None:
    """Sync all files of runs, and their names."""
    files = [file for folder in folders for file in _files(folder)]
    disk.sync_together([*files, *folders])


def _files(folder: Path) -> list[Path]:
    each = (path for path in folder.iterdir() if path.name != LOCK)
    return [path for path in each if path.is_file() and not path.is_symlink()]


def write_results(results: Mapping[Path, RunResult]) -> None:
    """Sync all files of ended runs, then write each ``result.json`` (rule 2)."""
    settle(*results)
    disk.write_together(
        {folder / RESULT: json_bytes(asdict(result)) for folder, result in results.items()}
    )


def json_bytes(value: Any) -> bytes:
    """Return strict JSON; numbers that are not finite become ``"nan"``, ``"inf"``, ``"-inf"``."""
    return (json.dumps(_plain(value), indent=2, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
