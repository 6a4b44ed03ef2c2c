"""How a kernel is compiled: once for each machine and version of the kernels, then kept on disk."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

FOLDER = Path(__file__).parent
SOURCES = ("kernel.py", "philox.py", "task.py", "closed_form/**/*.py")
"""Where kernels stand. All of them together name the cache: numba does not see a callee change."""


def cache_folder() -> Path:
    """The folder for this version: beside the package, or in the user's cache."""
    paths = [path for pattern in SOURCES for path in sorted(FOLDER.glob(pattern))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    beside = FOLDER / "__pycache__"
    if os.access(beside if beside.exists() else FOLDER, os.W_OK):
        return beside / f"kernels-{digest[:16]}"
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return of_user / "hw2exp" / f"kernels-{digest[:16]}"


_CACHE = cache_folder()


def compiled_before() -> bool:
    """Whether kernels of this version were ever compiled on this machine."""
    return any(_CACHE.rglob("*.nbc"))  # the folder is there as soon as kernels are defined


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with arguments of new types.

    Args:
        function: loops and arithmetic that numba understands.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_CACHE)
    try:
        return numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = before


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
