"""A bench for one question: why does training a recurrent network blow up, and what cures it?"""

import os
from typing import TYPE_CHECKING, Any

from hw2exp.system.version import VERSION

if TYPE_CHECKING:
    from hw2exp.train.api import Run, Sweep, run, sweep

__all__ = ["Run", "Sweep", "run", "sweep"]

# MKL chooses among kernels by how a matrix lies in memory, which depends on its place in a fleet;
# the kernels round differently. Its strict reproducible mode doesn't, at no measurable cost. It is
# read at MKL's first product, so it is set before torch is used.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = VERSION


def __getattr__(name: str) -> Any:
    """Import the functions for notebooks once they are asked for: they need torch."""
    if name in __all__:
        from hw2exp.train import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
