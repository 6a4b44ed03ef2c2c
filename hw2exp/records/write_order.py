"""Decide in which order a run's files reach the disk, so that a power cut loses nothing.

A power cut keeps what was synced. Of anything else it keeps any part: a name without the content,
a new file without the removal that came before it. Four rules follow:

1. ``result.json`` comes last. A run that has one is never touched again, so all its other files,
   Hydra's records among them, must be on the disk, under their names, before.
2. ``result.json`` goes first. A run that goes on removes it, and syncs that, before anything else
   changes: no result may stand beside files of another length.
3. A checkpoint's folder gets its name once all that it relies on is on the disk: rows, kept
   spikes, Hydra's records, its own files.
4. A file that replaces one still in use is on the disk before it gets the name.

What only shows (events between two checkpoints, the sweep's arms) is not waited for; it can be
made again. Syncs of all runs that end together wait together, which costs little more than one.
"""

import json
import math
from collections.abc import Iterator, Mapping
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
    """Remove from a run's folder what the run will write again (rule 2).

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


def settle(*folders: Path) -> None:
    """Wait until Hydra's records and all files of runs are on the disk, under their names.

    Args:
        folders: the run folders.
    """
    disk.sync_together([path for folder in folders for path in _written(folder)])


def _written(folder: Path) -> Iterator[Path]:
    records = (folder / CONFIG).parent
    for each in (folder, records):
        if each.is_dir():
            yield from (path for path in each.iterdir() if _counts(path))
            yield each


def _counts(path: Path) -> bool:
    return path.name != LOCK and path.is_file() and not path.is_symlink()


def write_results(results: Mapping[Path, RunResult]) -> None:
    """Write ``result.json`` of runs that have written all else (rule 1).

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
