"""Compile kernels once for each machine and version of the kernels, and keep them on disk."""

import hashlib
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

from hw2exp import disk, regular_file

PACKAGE = Path(__file__).parent
SOURCES = ("kernel.py", "philox.py", "task.py", "closed_form/**/*.py")
"""Where kernels stand. All of them together name the cache: numba does not see a callee change."""

PLACE = "NUMBA_CACHE_DIR"
"""The environment variable that chooses where the cache is."""

PRIVATE = 0o700
"""What is in the cache is executed: only its owner may write there, or read."""

DIGEST = hashlib.sha256().digest_size
LARGEST = 1 << 26
"""Bytes that a compiled form may have, a hundred times what the largest has."""


def cache_folder() -> Path | None:
    """Return the folder for this version of the kernels, or None if no folder can be used.

    It is below ``NUMBA_CACHE_DIR`` if that is set, else beside the package, else in the user's
    cache. A folder that others may write to, or that belongs to somebody else, is not used.
    """
    paths = [path for pattern in SOURCES for path in sorted(PACKAGE.glob(pattern))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
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


_FOLDER = cache_folder()
_failure: str | None = None


def compiled_before() -> bool:
    """Whether kernels of this version were ever compiled on this machine."""
    return _FOLDER is not None and any(_FOLDER.glob("*.nbc"))


def cache_problem() -> str | None:
    """Return in one line why kernels can't be kept, once; None if they can.

    They are compiled in memory then, which takes some ten seconds in every process.
    """
    global _failure
    problem, _failure = _failure, None
    return problem


class KernelCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Keep a kernel's compiled forms, each in a file that begins with a digest.

    The digest is of the file's name and the rest of its content, so that neither a damaged file nor
    that of another kernel is loaded. numba's own cache hands a damaged file to the linker, and
    fails where it can't write. Here an entry that can't be loaded is compiled again and replaced,
    whatever it is, and a cache that can't be written costs only time.

    Args:
        function: the kernel, in a file.
        folder: for the compiled forms; None keeps nothing.
    """

    def __init__(self, function: Callable[..., Any], folder: Path | None) -> None:
        code = function.__code__
        source = os.stat(code.co_filename)
        self._py_func = function
        self._impl = _Reduction(code.co_filename, code.co_firstlineno)
        self._folder = folder
        self._cache_path = str(folder)
        self._stamp = (
            numba.__version__, sys.implementation.cache_tag, function.__module__,
            function.__qualname__, code.co_firstlineno, source.st_mtime_ns, source.st_size,
        )  # fmt: skip

    def _path(self, folder: Path, signature: Any, codegen: Any) -> Path:
        key = repr((self._stamp, self._index_key(signature, codegen)))
        return folder / f"{self._py_func.__name__}-{hashlib.sha256(key.encode()).hexdigest()}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled form for arguments of some types, or None if there is none.

        Args:
            sig: the types.
            target_context: numba's.
        """
        target_context.refresh()
        if self._folder is None:
            return None
        try:
            path = self._path(self._folder, sig, target_context.codegen())
            content = regular_file.read(path, LARGEST, links=False)
            digest, data = content[:DIGEST], content[DIGEST:]
            if _digest(path, data) != digest:
                return None
            return self._impl.rebuild(target_context, pickle.loads(data))
        except Exception:  # of a file that isn't there, or that this numba can't load
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form.

        Args:
            sig: the types of its arguments.
            data: numba's.
        """
        global _failure
        if self._folder is None:
            _failure = f"no folder for compiled kernels can be written; {PLACE} chooses another"
        elif self._impl.check_cachable(data):
            content = dumps(self._impl.reduce(data))
            try:
                disk.make_folder(self._folder, sync=False, mode=PRIVATE)
                path = self._path(self._folder, sig, data.codegen)
                if path.is_dir() and not path.is_symlink():  # no rename replaces a folder
                    with suppress(FileNotFoundError):  # another process was faster
                        disk.remove(path)
                # Nothing waits for the disk here, which would cost a sync for each of some 40
                # files. After a power cut an entry may be empty or zeroed: its digest tells.
                disk.write(path, _digest(path, content) + content, sync=False)
            except OSError as error:
                reason = f"{self._folder}: {error.strerror}"
                _failure = f"compiled kernels can't be kept: {reason}; {PLACE} chooses another"


def _digest(path: Path, data: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + data).digest()


class _Reduction(CompileResultCacheImpl):  # type: ignore[misc]
    """Turn compiled code into data and back as numba does; the choice of a folder is left out.

    Args:
        path: of the kernel's source.
        line: of its first line.
    """

    def __init__(self, path: str, line: int) -> None:
        self._lineno = line
        self._locator = self
        self._py_file = path


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with arguments of new types.

    Args:
        function: loops and arithmetic that numba understands.
    """
    compiled = numba.njit(error_model="numpy", nogil=True)(function)
    if os.path.isfile(function.__code__.co_filename):  # else typed, with nothing to tell its age by
        compiled._cache = KernelCache(function, _FOLDER)
    return compiled


def kernel_with(function: Callable[..., Any], name: str, **kernels: Any) -> Any:
    """Compile a function that calls kernels which are given by name.

    They become globals of a copy of the function: numba keeps no closures between processes.

    Args:
        function: as for ``kernel``; of its free names, ``kernels`` says what they are.
        name: tells this copy from others.
        kernels: by name.
    """
    namespace = {**function.__globals__, **kernels}
    own = FunctionType(function.__code__, namespace, f"{function.__name__}_{name}")
    own.__module__ = function.__module__
    own.__qualname__ = own.__name__
    return kernel(own)
