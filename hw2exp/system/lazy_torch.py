"""Import torch at its first use: its import takes longer than a whole check of a command.

A module that holds knobs and equations is loaded for its knobs by ``--help`` and by every check of
a command. It imports ``torch``, ``Tensor`` and ``Device`` from here instead of from torch. At run
time the last two are for annotations only.
"""

from typing import TYPE_CHECKING, Any

from hw2exp.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import torch as torch
    from torch import Tensor as Tensor

    Device = torch.device | str
else:
    Tensor = Device = Any

    torch = LazyModule("torch")
