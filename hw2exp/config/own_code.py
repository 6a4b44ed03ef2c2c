"""Compute a digest of the code of a user's choices, to detect changed equations.

The digest covers compiled code, because a class defined in a notebook has no source file. So
comments and formatting don't count. Python versions compile the same text differently: digests of
different versions can't be compared.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any

from hw2exp.config.knob import KNOBS
from hw2exp.config.registry import ADDED_CHOICES, CHOICES, MAIN, equations

PLAIN = (bool, int, float, complex, str, bytes, type(None))
INSTALLED = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
NO_CODE = (
    "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__",
    "__annotations__", "__dataclass_fields__", KNOBS,
)  # fmt: skip


MODULES = "modules"
"""The key of the user's modules among a result's versions."""


def own_code(config: Any) -> dict[str, str]:
    """Return the digest of the code of each choice of a config that a user added.

    Args:
        config: the config of a run, a ``TrainConfig``.

    Returns:
        By choice, such as ``model=leaky_rnn``; under ``MODULES`` the modules that register them.
    """
    chosen = [(group, getattr(config, group).name) for group in CHOICES]
    own = [each for each in chosen if each in ADDED_CHOICES]
    modules = {equations(*each).__module__ for each in own} - {*MAIN}
    found = {}
    for group, name in own:
        code: Any = equations(group, name)
        found[f"{group}={name}"] = code_digest(code)
    return found | ({MODULES: " ".join(sorted(modules))} if modules else {})


def own_choices(configs: Iterable[Any]) -> dict[str, str]:
    """Return the digests of the choices of some configs that a user added, by choice."""
    found: dict[str, str] = {}
    for config in configs:
        found |= own_code(config)
    found.pop(MODULES, None)
    return found


def digest_of(choice: str) -> str | None:
    """Return the digest of the code of a user's choice; None if it is shipped or unknown.

    Args:
        choice: the choice, such as ``model=leaky_rnn``.
    """
    group, _, name = choice.partition("=")
    own: Any = equations(group, name) if (group, name) in ADDED_CHOICES else None
    return None if own is None else code_digest(own)


@cache
def code_digest(own: Any) -> str:
    """Return the SHA-256 of a class's code and of the user's code that it uses.

    Functions, classes and plain constants count, including the globals that they refer to. Other
    objects, such as tensors, and installed packages don't.
    """
    return hashlib.sha256("\n".join(_of_value(own, set())).encode(errors="replace")).hexdigest()


def _is_own(module: str) -> bool:
    """Return whether a module is the user's: the main program, or not installed and not ours."""
    if module in MAIN:  # its file may be that of a notebook's kernel
        return True
    top = module.partition(".")[0]
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return not (top in (*sys.stdlib_module_names, "hw2exp") or path.startswith(INSTALLED))


def _of_value(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield texts that describe a value, if it is a plain constant or code."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        value = unwrap(value)
    if isinstance(value, PLAIN):
        yield repr(value)
    elif isinstance(value, list | tuple | frozenset):
        parts = ["\n".join(_of_value(each, seen)) for each in value]
        yield from sorted(parts) if isinstance(value, frozenset) else parts
    elif isinstance(value, dict):
        yield from _of_value([part for pair in value.items() for part in pair], seen)
    elif isinstance(value, property):
        yield from _of_value((value.fget, value.fset), seen)
    elif isinstance(value, CodeType):
        yield from _of_code(value, seen)
    elif isinstance(value, type | FunctionType) and _is_own(value.__module__):
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, type):
            yield from _of_class(value, seen)
        else:
            yield from _of_function(value, seen)


def _of_class(kind: type, seen: set[int]) -> Iterator[str]:
    for name, value in sorted(vars(kind).items()):
        if name not in NO_CODE:
            yield name
            yield from _of_value(value, seen)
    yield from _of_value(kind.__bases__, seen)


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    yield from _of_code(code, seen, skipped=function.__doc__)
    enclosed = tuple(cell.cell_contents for cell in function.__closure__ or ())
    keywords = tuple(sorted((function.__kwdefaults__ or {}).items()))
    yield from _of_value((function.__defaults__, keywords, enclosed), seen)
    for name in _names(code):
        if name in function.__globals__:
            yield name
            yield from _of_value(function.__globals__[name], seen)


def _of_code(code: CodeType, seen: set[int], skipped: str | None = None) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join((*code.co_names, "|", *code.co_varnames, "|", *code.co_freevars))
    own = code.co_consts[1:] if skipped and code.co_consts[:1] == (skipped,) else code.co_consts
    yield from _of_value(own, seen)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function looks up, including its inner functions."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)
