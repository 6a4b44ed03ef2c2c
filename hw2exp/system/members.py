"""Import the modules of a package, so that each of them can register what it defines."""

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def import_members(name: str) -> ModuleType:
    """Import a package and the modules in it; return the package.

    Args:
        name: the package's dotted name; a module is imported alone.
    """
    package = import_module(name)
    for member in pkgutil.iter_modules(getattr(package, "__path__", ())):
        import_module(f"{name}.{member.name}")
    return package
