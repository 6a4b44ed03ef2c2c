"""A module that is imported at its first use."""

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A stand-in for a module, which imports the module when an attribute is first asked for.

    Args:
        name: the module's name.
    """

    def __getattr__(self, name: str) -> Any:
        vars(self).update(vars(importlib.import_module(self.__name__)))
        plain: Any = ModuleType  # whose attributes are faster
        self.__class__ = plain
        return getattr(self, name)
