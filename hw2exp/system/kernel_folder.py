"""Choose the folder of compiled kernels, named by the hash of all that they are made from."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IMPORT = re.compile(
    rb"^\s*(?:from|import) +(hw2exp[\w.]*)(?: +import +(?:\(([^)]*)\)|(.+)))?", re.M
)

DECORATORS = {f"hw2exp.system.kernel_cache.{name}" for name in ("kernel", "kernel_with")}
"""The decorators of kernels, by their full names."""

PLACE = "NUMBA_CACHE_DIR"
"""The environment variable for the cache folder."""

PRIVATE = 0o700
"""Mode of the cache folder: cached code is executed, so only its owner may write or read there."""


def sources() -> list[Path]:
    """Return the files of all kernels, and of all that they import from this package.

    Their joint hash names the cache, because numba misses changes in callees and constants. A
    kernel's file is found by its import of a decorator.
    """
    texts = {path: path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))}
    modules = {f"hw2exp.{'.'.join(p.relative_to(PACKAGE).with_suffix('').parts)}": p for p in texts}
    imported = {path: _imported(text) for path, text in texts.items()}
    found = {PACKAGE / "system" / "kernel_cache.py"}
    pending = [path for path, names in imported.items() if names & DECORATORS]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += [modules[name] for name in imported[path] & modules.keys()]
    return sorted(found)


def _imported(text: bytes) -> set[str]:
    """Return the names that a module may import from this package: modules and their members."""
    names = set()
    for module, several, one in IMPORT.findall(text):
        names.add(module.decode())
        members = re.findall(rb"\w+", several or one.partition(b"#")[0])
        names |= {f"{module.decode()}.{member.decode()}" for member in members}
    return names


def cache_folder() -> Path | None:
    """Return the folder for this version of the kernels, or None if no folder can be used.

    The folder is in ``NUMBA_CACHE_DIR`` if that is set, else in the package, else in the user's
    cache. A folder that others may write to, or that another user owns, is not used.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()
    folders = (parent / f"kernels-{digest[:16]}" for parent in _parents())
    return next(filter(_usable, folders), None)


def _parents() -> Iterator[Path]:
    if chosen := os.environ.get(PLACE):
        yield Path(chosen)
        return
    yield PACKAGE / "__pycache__"
    of_user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    yield Path(of_user) / "hw2exp"


def _usable(folder: Path) -> bool:
    try:
        if folder.exists():
            found = folder.stat()
            private = found.st_uid == os.geteuid() and not found.st_mode & (
                stat.S_IWGRP | stat.S_IWOTH
            )
            return private and os.access(folder, os.R_OK | os.X_OK)
        above = next(parent for parent in folder.parents if parent.exists())
        return above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    except OSError:
        return False
