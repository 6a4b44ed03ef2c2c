"""Decide in which order a run's files reach the disk, so that a power cut loses nothing.

A power cut keeps what was synced. Of anything else it keeps any part: a name without the content,
a new file without the removal that came before it. Five rules follow:

1. Hydra's records come first: a folder says what it is of before anything else is in it.
2. ``result.json`` comes last. A run that has one is never touched again, so all its other files
   must be on the disk, under their names, before.
3. ``result.json`` goes first. A run that goes on removes it, and syncs that, before anything else
   changes: no result may stand beside files of another length.
4. A checkpoint's folder gets its name once all that it relies on is on the disk: rows, kept
   spikes, its own files.
5. A file that replaces one still in use is on the disk before it gets the name.

What only shows (events between two checkpoints, the sweep's arms) is not waited for; it can be
made again. Syncs of all runs that end together wait together, which costs little more than one.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw2exp import disk
from hw2exp.config.recorded import CONFIG
from hw2exp.lock import LOCK
from hw2exp.records.run_dir import (
    DIAGNOSTICS,
    EVENTS,
    METRICS,
    PARAMETERS,
    RESULT,
    SPIKES,
    RunResult,
)

DRAWN = ("curve.*", "diagnostics.[ps]*g")


def clear(folder: Path, events: bool = True, spikes: bool = True) -> None:
    """Remove from a run's folder what the run will write again (rule 3).

    Args:
        folder: the run folder.
        events: remove TensorBoard's files too.
        spikes: remove what was kept of spikes too.
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
    """Wait until Hydra's records of runs are on the disk, under their names (rule 1).

    Args:
        folders: the run folders; those without records have nothing to wait for.
    """
    records = {(folder / CONFIG).parent: folder for folder in folders}
    there = {path: folder for path, folder in records.items() if path.is_dir()}
    files = [file for path in there for file in _files(path)]
    disk.sync_together([*files, *there, *there.values()])


def settle(*folders: Path) -> None:
    """Wait until all files of runs are on the disk, under their names.

    Args:
        folders: the run folders.
    """
    files = [file for folder in folders for file in _files(folder)]
    disk.sync_together([*files, *folders])


def _files(folder: Path) -> list[Path]:
    each = (path for path in folder.iterdir() if path.name != LOCK)
    return [path for path in each if path.is_file() and not path.is_symlink()]


def write_results(results: Mapping[Path, RunResult]) -> None:
    """Write ``result.json`` of runs that have written all else (rule 2).

    Args:
        results: by run folder.
    """
    settle(*results)
    disk.write_together(
        {folder / RESULT: json_bytes(asdict(result)) for folder, result in results.items()}
    )


def json_bytes(value: Any) -> bytes:
    """Return strict JSON; a number that is not finite becomes ``"nan"``, ``"inf"`` or ``"-inf"``.

    Args:
        value: of mappings, sequences and plain values.
    """
    return (json.dumps(_plain(value), indent=2, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
