"""Compile kernels once for each machine and version of the kernels, and keep them on disk."""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps
from numba.np import linalg

from hw2exp.system import disk, regular_file
from hw2exp.system.kernel_folder import PLACE, PRIVATE, cache_folder
from hw2exp.system.lock import FolderHeldError, locked
from hw2exp.system.replaced import replaced

PATIENCE = 120.0
"""Seconds to wait for another process that compiles the same kernel."""

DIGEST = hashlib.sha256().digest_size
LARGEST = 1 << 26
"""Largest size of a compiled form in bytes, a hundred times the largest so far."""


def compiled_before(name: str = "") -> bool:
    """Return whether a kernel of this version is in the cache.

    Args:
        name: the end of the kernel's name; empty: any kernel.
    """
    return _FOLDER is not None and any(_FOLDER.glob(f"*{name}-*.nbc"))


def cache_problem() -> str | None:
    """Return, once, a line on why kernels can't be cached; None if they can.

    Without a cache every process compiles its kernels again, which takes half a minute.
    """
    global _failure
    problem, _failure = _failure, None
    return problem


class KernelCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """A cache of a kernel's compiled forms, each in a file that begins with a digest.

    The digest covers the file's name and the rest of its content, so that neither a damaged file
    nor that of another kernel is loaded. numba's own cache passes a damaged file to the linker, and
    fails if it can't write. Here an entry that can't be loaded is compiled again and replaced, and
    a cache that can't be written costs only time.

    Args:
        function: the kernel; its source must be a file.
        folder: the folder of the compiled forms; None: keep nothing.
    """

    def __init__(self, function: Callable[..., Any], folder: Path | None) -> None:
        code = function.__code__
        source = hashlib.sha256(Path(code.co_filename).read_bytes()).hexdigest()
        self._py_func = function
        self._impl = _Reduction(code.co_filename, code.co_firstlineno)
        self._folder = folder
        self._cache_path = str(folder)
        self._compiling = ExitStack()
        self._stamp = (
            numba.__version__, sys.implementation.cache_tag, function.__module__,
            function.__qualname__, code.co_firstlineno, source,
        )  # fmt: skip

    def _path(self, folder: Path, signature: Any, codegen: Any) -> Path:
        key = repr((self._stamp, self._index_key(signature, codegen)))
        return folder / f"{self._py_func.__name__}-{hashlib.sha256(key.encode()).hexdigest()}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled form for some argument types, or None if there is none.

        None makes numba compile it and save it. Meanwhile other processes wait for it.

        Args:
            sig: the argument types.
            target_context: numba's target context.
        """
        _lighten_numba()
        target_context.refresh()
        if self._folder is None:
            return None
        self._compiling.close()  # still locked if the last compilation was interrupted
        path = self._path(self._folder, sig, target_context.codegen())
        found = self._load(path, target_context)
        if found is None:
            with suppress(OSError, FolderHeldError):  # then both compile it
                disk.make_folder(self._folder, sync=False, mode=PRIVATE)
                self._compiling.enter_context(locked(path.with_suffix(".lock"), PATIENCE))
                found = self._load(path, target_context)
        if found is not None:
            self._compiling.close()
        return found

    def _load(self, path: Path, target_context: Any) -> Any:
        try:
            content = regular_file.read(path, LARGEST, links=False)
            digest, data = content[:DIGEST], content[DIGEST:]
            if _digest(path, data) != digest:
                return None
            return self._impl.rebuild(target_context, pickle.loads(data))
        except Exception:  # the file is missing, or this numba can't load it
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled form to the cache.

        Args:
            sig: the argument types.
            data: numba's compile result.
        """
        self._save(sig, data)
        self._compiling.close()

    def _save(self, sig: Any, data: Any) -> None:
        global _failure
        if self._folder is None:
            _failure = f"no folder for compiled kernels can be written; {PLACE} chooses another"
        elif self._impl.check_cachable(data):
            content = dumps(self._impl.reduce(data))
            try:
                disk.make_folder(self._folder, sync=False, mode=PRIVATE)
                path = self._path(self._folder, sig, data.codegen)
                if path.is_dir() and not path.is_symlink():  # a rename can't replace a folder
                    with suppress(FileNotFoundError):  # another process was faster
                        disk.remove(path)
                # No sync, which would be slow for some 40 files. After a power cut an entry may be
                # empty or zeroed: its digest won't match.
                disk.write(path, _digest(path, content) + content, sync=False)
            except OSError as error:
                reason = f"{self._folder}: {error.strerror}"
                _failure = f"compiled kernels can't be kept: {reason}; {PLACE} chooses another"


@cache
def _lighten_numba() -> None:
    """Import numba's array functions without scipy.linalg, and shorten an error of theirs.

    Importing scipy.linalg takes 0.3 s; numba does so only to see whether there is a BLAS. No kernel
    needs one; a function of the user's that does makes numba import scipy then. The error of an
    assignment between different shapes names both, for which numba compiles string functions into
    every kernel that assigns an array: a fifth of the time that compiling takes.
    """
    if "numba.np.arraymath" not in sys.modules and find_spec("scipy") is not None:
        with replaced(linalg, "ensure_blas", lambda: None):
            import_module("numba.np.arraymath")
    array_code = vars(import_module("numba.np.arrayobj"))
    array_code["raise_with_shape_context"] = numba.njit(_raise_shapes_differ)


def _raise_shapes_differ(source: Any, target: Any) -> None:
    raise ValueError("cannot assign an array of another shape")


def _digest(path: Path, data: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + data).digest()


class _Reduction(CompileResultCacheImpl):  # type: ignore[misc]
    """numba's serialization of compiled code, without its choice of a folder.

    Args:
        path: the kernel's source file.
        line: the number of its first line.
    """

    def __init__(self, path: str, line: int) -> None:
        self._lineno = line
        self._locator = self
        self._py_file = path


def kernel(function: Callable[..., Any]) -> Any:
    """Decorate a function so that numba compiles it at the first call with new argument types.

    Args:
        function: loops and arithmetic that numba supports.
    """
    compiled = numba.njit(error_model="numpy", nogil=True, no_cfunc_wrapper=True)(function)
    if os.path.isfile(function.__code__.co_filename):  # else typed in: no file, so no timestamp
        compiled._cache = KernelCache(function, _FOLDER)
    return compiled


def kernel_with(function: Callable[..., Any], name: str, **kernels: Any) -> Any:
    """Compile a copy of a function with some of its global names bound to given kernels.

    The kernels become globals of the copy, because numba can't cache closures across processes.

    Args:
        function: see :func:`kernel`.
        name: suffix of the copy's name, unique among the copies.
        kernels: kernels or constants, by global name.
    """
    namespace = {**function.__globals__, **kernels}
    own = FunctionType(function.__code__, namespace, f"{function.__name__}_{name}")
    own.__module__ = function.__module__
    own.__qualname__ = own.__name__
    return kernel(own)


_FOLDER = cache_folder()
_failure: str | None = None
