"""Import numpy at its first use, for modules that a check of a command loads for their knobs.

At run time the types are for annotations only.
"""

from typing import TYPE_CHECKING, Any

from hw2exp.system.lazy_module import LazyModule

__all__ = ["Floats", "Mask", "Members", "np"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Members = NDArray[np.int64]
else:
    Floats = Mask = Members = Any
    np = LazyModule("numpy")
