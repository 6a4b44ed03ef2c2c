"""Import torch at its first use: its import takes longer than a whole check of a command.

A module that holds knobs and equations is loaded for its knobs by ``--help`` and by every check of
a command. It imports ``torch``, ``Tensor`` and ``Device`` from here instead of from torch. At run
time the last two are for annotations only.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    from torch import Tensor as Tensor

    Device = torch.device | str
else:
    Tensor = Device = Any

    class _Torch(ModuleType):
        def __getattr__(self, name: str) -> Any:
            vars(self).update(vars(importlib.import_module("torch")))
            self.__class__ = ModuleType  # whose attributes are faster
            return getattr(self, name)

    torch = _Torch("torch")
