"""Compute a digest of the code of a user's choices, to detect changed equations.

The digest covers compiled code, because a class defined in a notebook has no source file. So
comments and formatting don't count. Python versions compile the same text differently, so digests
of different versions can't be compared.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dis import get_instructions
from enum import Enum
from functools import cache, cached_property, partial, partialmethod
from importlib import import_module
from importlib.util import find_spec
from types import CodeType, FunctionType, ModuleType
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

ARRAYS = "ndarray", "Tensor", "Parameter"
"""Names of the types whose numbers count."""

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
        found[f"{group}={name}"] = _digest(group, name)
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
    return _digest(group, name) if (group, name) in ADDED_CHOICES else None


def _digest(group: str, name: str) -> str:
    """Return the digest of a choice's class, and of the methods of its knobs' own class, if any."""
    own: Any = equations(group, name)
    section = CHOICES[group][name]
    methods = {} if section is own or KNOBS in vars(own) else _methods(section)
    return code_digest(own, tuple(methods.items()))


def _methods(section: type) -> dict[str, Any]:
    kinds = FunctionType, staticmethod, classmethod, property
    return {name: value for name, value in vars(section).items() if isinstance(value, kinds)}


@cache
def code_digest(own: Any, methods: tuple[tuple[str, Any], ...] = ()) -> str:
    """Return the SHA-256 of a class's code and of the user's code that it uses.

    Functions, classes, plain constants, arrays and tensors count, including the globals and the
    modules that they refer to. Only the names count of objects from installed packages and from
    this one. What is found by name at run time, such as by ``getattr``, doesn't count.

    Args:
        own: the class.
        methods: further functions by name.
    """
    texts = [*_of_value(own, set()), *(_of_value(methods, set()) if methods else ())]
    return hashlib.sha256("\n".join(texts).encode(errors="replace")).hexdigest()


def _is_own(module: str | None) -> bool:
    """Return whether a module is the user's: the main program, or not installed and not ours."""
    if module is None or module in MAIN:  # made by exec; or its file is that of a notebook's kernel
        return True
    top = module.partition(".")[0]
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return not (top in (*sys.stdlib_module_names, "hw2exp") or path.startswith(INSTALLED))


def _of_value(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield texts that describe a value: a constant, the user's code, or the name of other code."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, (*PLAIN, range, Enum)):
        yield repr(value)
    elif isinstance(value, list | tuple | set | frozenset | dict):
        yield from _of_container(value, seen)
    elif isinstance(value, property):
        yield from _of_value((value.fget, value.fset), seen)
    elif isinstance(value, partial | partialmethod):
        yield from _of_value((value.func, value.args, value.keywords), seen)
    elif isinstance(value, cached_property):
        yield from _of_value(value.func, seen)
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
    elif hasattr(value, "__wrapped__"):  # such as a function with a cache
        yield from _of_value(value.__wrapped__, seen)
    elif (name := getattr(value, "__qualname__", None)) is not None:
        yield f"{getattr(value, '__module__', None)}.{name}"
    else:
        yield type(value).__qualname__
        if type(value).__qualname__ == "dtype":
            yield repr(value)
        elif type(value).__qualname__ in ARRAYS:
            numbers = value.detach().cpu().numpy() if hasattr(value, "detach") else value
            content = hashlib.sha256(numbers.tobytes()).hexdigest()
            yield f"{numbers.dtype} {numbers.shape} {content}"
        elif _is_own(type(value).__module__) and hasattr(value, "__dict__"):
            yield from _of_value((type(value), vars(value)), seen)


def _of_container(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield the texts of a container's parts between brackets; nothing if it is within itself."""
    if -id(value) in seen:
        return
    seen.add(-id(value))
    parts = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
    texts = ["\n".join(_of_value(part, seen)) for part in parts]
    seen.discard(-id(value))
    yield "("
    yield from sorted(texts) if isinstance(value, set | frozenset) else texts
    yield ")"


def _of_class(kind: type, seen: set[int]) -> Iterator[str]:
    for name, value in sorted(vars(kind).items()):
        if name not in NO_CODE:
            yield name
            yield from _of_value(value, seen)
    yield from _of_value(kind.__bases__, seen)


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    yield from _of_code(code, seen, skipped=function.__doc__)
    keywords = tuple(sorted((function.__kwdefaults__ or {}).items()))
    yield from _of_value((function.__defaults__, keywords, _enclosed(function)), seen)
    names = {*_names(code)}
    for name in dict.fromkeys(_names(code)):
        if name in function.__globals__:
            yield name
            yield from _of_member(function.__globals__[name], names, seen)
    for name in dict.fromkeys(_imports(code)):
        yield from _of_member(_imported(name) or name, names, seen)


def _of_member(value: Any, names: set[str], seen: set[int]) -> Iterator[str]:
    """Yield the texts of a value; of a user's module those of its members with some names."""
    if not isinstance(value, ModuleType):
        yield from _of_value(value, seen)
    elif not _is_own(value.__name__):
        yield value.__name__
    elif (key := hash((value.__name__, frozenset(names)))) not in seen:
        seen.add(key)
        for used in sorted(names & vars(value).keys()):
            yield used
            yield from _of_member(vars(value)[used], names, seen)


def _imported(name: str) -> ModuleType | None:
    """Import a user's module that a function imports when it runs.

    Returns:
        The module; None if it is relative or missing, or installed: that may be slow to import.
    """
    top = name.partition(".")[0]
    try:
        spec = find_spec(top)
        place = spec.origin or "" if spec else ""
        if top in (*sys.stdlib_module_names, "hw2exp") or place.startswith(INSTALLED):
            return None
        return import_module(name)
    except (ImportError, ValueError):
        return None


def _enclosed(function: FunctionType) -> tuple[Any, ...]:
    """Return the values that a function encloses; None for a value that is not set yet."""
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            values.append(None)
    return tuple(values)


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


def _imports(code: CodeType) -> Iterator[str]:
    """Yield the modules that a function imports, including its inner functions."""
    yield from (each.argval for each in get_instructions(code) if each.opname == "IMPORT_NAME")
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _imports(each)
