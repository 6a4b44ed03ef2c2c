"""Name the axes of tensors, and their types.

====== ===================== ==================================================
 axis   length                meaning
====== ===================== ==================================================
 R      replicas              independent runs; nothing is ever reduced over R
 B      batch                 sequences of one step
 T      time                  positions of a sequence, padding first
 I      input symbols         one-hot vector of a symbol; padding is zero
 H      hidden                units of the recurrent state
 C      classes               Q, R, S, U in temporal order
 K      lags                  past states that an attention cell attends to
 P      parameters            all of a replica's numbers in one row
====== ===================== ==================================================

A line that makes or changes a shape ends with it: ``# (R, B, H)``.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from hw2exp.system.lazy_torch import Tensor, torch

Params = dict[str, Tensor]
"""Parameters by name, each ``(R, ...)``."""

State = dict[str, Tensor]
"""State that a transformation carries from step to step, each ``(R, ...)``."""

StateTrajectory = tuple[Tensor, Tensor]
"""h[t] and ∂ℓ/∂h[t], total derivatives of the mean loss, for t = 1…T; each ``(R, B, T, H)``."""

Shape = tuple[int, ...]


class Layout:
    """The layout of a replica's parameters in one row.

    Args:
        shapes: shape of each parameter by name, without the replica axis.
    """

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.shapes = shapes
        self.ends = tuple(accumulate(map(math.prod, shapes.values())))[:-1]

    @classmethod
    def of(cls, params: Params) -> "Layout":
        """Return the layout of parameters, each ``(R, ...)``."""
        return cls({name: value.shape[1:] for name, value in params.items()})

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """Join tensors ``(R, ...)``, in the order of the names, into rows ``(R, P)``."""
        return torch.cat([tensor.flatten(1) for tensor in tensors], 1)

    def rows(self, by_name: Params) -> Tensor:
        """Join parameters ``(R, ...)`` into rows ``(R, P)``, in the order of the layout."""
        return self.flatten([by_name[name] for name in self.shapes])

    def unflatten(self, rows: Tensor) -> Params:
        """Cut rows ``(R, P)`` into parameters ``(R, ...)``, as views."""
        parts = torch.tensor_split(rows, self.ends, 1)
        return {
            name: part.reshape(-1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def columns(per_replica: Tensor, like: Tensor) -> Tensor:
    """Reshape one number a replica so that it broadcasts over the replica's tensor.

    Args:
        per_replica: one number a replica, ``(R,)``; rounded once, to the dtype of ``like``.
        like: the replicas' tensor, ``(R, ...)``.

    Returns:
        ``(R, 1, ...)``, with as many axes as ``like``.
    """
    return per_replica.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))


def norms(rows: Tensor) -> Tensor:
    """Return the Euclidean norm of each row, ``(R,)`` in float64.

    In float32 the square of a number above 1.8e19 overflows, although the norm would not.

    Args:
        rows: one row a replica, ``(R, P)``.
    """
    return roots(_sums(rows.double().square()))


def roots(x: Tensor) -> Tensor:
    """Return square roots, rounded as IEEE 754 says; torch's differ between kinds of CPU."""
    if x.is_cuda:
        return x.sqrt()
    import numpy as np  # lazily, as torch

    return torch.from_numpy(np.sqrt(x.numpy()))


def means(rows: Tensor) -> Tensor:
    """Return the mean of each row, ``(R,)``, computed in float64 and rounded once.

    Args:
        rows: one row a replica, ``(R, n)``.
    """
    return (_sums(rows.double()) / rows.shape[1]).to(rows.dtype)


def _sums(rows: Tensor) -> Tensor:
    """Sum each row in order; the order of torch's ``sum`` depends on the CPU's vectors."""
    return rows.cumsum(1)[:, -1]
