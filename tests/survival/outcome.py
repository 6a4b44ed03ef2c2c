"""What a command has left, without times: two of one kind are the same if they are equal."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from hw2exp.config.run_files import EVENTS
from tests.survival.recorder import tree_of

CHECKPOINT = re.compile(r"(.*checkpoints/)\.?step_[^/]*")


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that is left below a folder, but for times and the names that hold them.

    Args:
        folder: the folder.
    """
    found: dict[str, Any] = {}
    tree = tree_of(folder)
    for name, content in tree.items():
        path = folder / name
        if _is_older(name, tree):
            continue
        if path.match(EVENTS):
            name, content = name.split(".tfevents")[0], events(path)
            if name in found:
                name += ", a second file"
        elif path.name == "result.json":
            content = {**json.loads(content), "seconds": None}
        elif path.name == "manifest.json":  # when, how long, and the digests of files that say so
            content = "a manifest"
        elif path.name in ("hydra.yaml", "multirun.yaml"):  # the folder is put in where it is known
            content = content.replace(b"    - hydra.sweep.dir='x'\n", b"")
        found[name] = "a folder" if content is None else content
    return found


def _is_older(name: str, tree: Iterable[str]) -> bool:
    """Tell whether a path is of a checkpoint that is not the run's newest.

    How many there are depends on where a run went on; and a removal that is not waited for may be
    undone, or half done, by a cut.
    """
    match = CHECKPOINT.match(name)
    return match is not None and match[0] != max(
        other for other in tree if CHECKPOINT.fullmatch(other) and other.startswith(match[1])
    )


def events(path: Path) -> Counter:
    """Return how often each value stands in an event file, but for times.

    Args:
        path: the file.
    """
    found: Counter = Counter()
    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            timed = value.tag.startswith("_hparams_")
            found[event.step, value.tag, b"" if timed else value.SerializeToString()] += 1
    return found


def _differing(name: str, left: Any, whole: Any) -> str | None:
    """Say how a file is unlike what it should be, if it is."""
    if left == whole:
        return None
    if left is None or whole is None:
        return f"{name} is {'missing' if left is None else 'left over'}"
    if isinstance(whole, Counter):
        return f"{name} has too few values: {len(whole - left)}, too many: {len(left - whole)}"
    return f"{name} is another"


def difference(left: Mapping[str, Any], whole: Mapping[str, Any]) -> str | None:
    """Say in what an outcome is unlike another, if it is.

    Args:
        left: the outcome.
        whole: what it should be.
    """
    names = sorted(left.keys() | whole.keys())
    other = [_differing(name, left.get(name), whole.get(name)) for name in names]
    return ", ".join(filter(None, other)) or None
