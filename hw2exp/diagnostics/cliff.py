"""Map the cliff: the loss on a plane in parameter space (Pascanu, Mikolov & Bengio 2013, §2.3).

Their figure 6 draws the wall in the loss of a one-unit network. Here the gradient, which is steep
at a wall, and a random direction span the plane.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import norms


@dataclass(frozen=True)
class Plane:
    """The plane of all θ + a u + b v in parameter space.

    Args:
        origin: θ, ``(P,)``.
        u: a unit vector, ``(P,)``.
        v: a unit vector orthogonal to u, ``(P,)``.
    """

    origin: Tensor
    u: Tensor
    v: Tensor

    def project(self, rows: Tensor) -> Tensor:
        """Return a and b, ``(n, 2)``, of the plane's points nearest to parameters ``(n, P)``."""
        return (rows - self.origin) @ torch.stack([self.u, self.v], 1)

    def distance(self, rows: Tensor) -> Tensor:
        """Return the distances of parameters ``(n, P)`` from the plane, ``(n,)``."""
        nearest = self.project(rows) @ torch.stack([self.u, self.v])  # (n, P)
        return norms(rows - self.origin - nearest)

    def grid(self, rows: Tensor, points: int = 41, margin: float = 1.25) -> Tensor:
        """Return values for a and b that reach beyond a path on the plane.

        Args:
            rows: the path's parameters, ``(n, P)``; non-finite values don't count.
            points: the number of values, odd, so that 0 is among them.
            margin: the reach of the values in units of the path's reach.

        Raises:
            ValueError: ``points`` is even or below 3, or the path never leaves the origin.
        """
        if points < 3 or points % 2 == 0:
            raise ValueError(f"points={points}: must be odd and at least 3")
        reach = float(self.project(rows).abs().nan_to_num(0, posinf=0).max())
        if reach == 0:
            raise ValueError("rows: no step leaves the origin within the plane")
        half = points // 2
        return torch.arange(-half, half + 1).to(self.origin) * (margin * reach / half)


@dataclass(frozen=True)
class Cliff:
    """The loss on a grid, infinite or NaN where it overflows.

    Args:
        a: coordinates along u, ``(n,)``.
        b: coordinates along v, ``(m,)``.
        loss: the losses, a row for every b as in an image, ``(m, n)``.
    """

    a: Tensor
    b: Tensor
    loss: Tensor


def plane_along(origin: Tensor, gradient: Tensor, seed: int) -> Plane:
    """Return the plane of the gradient and a random direction, a pure function of the arguments.

    Args:
        origin: the parameters, ``(P,)``; the plane takes their dtype.
        gradient: the loss's gradient there, ``(P,)``.
        seed: the seed of the random direction.

    Raises:
        ValueError: the gradient is zero or not finite, or there is only one parameter.
    """
    steep = gradient.double()
    length = torch.linalg.vector_norm(steep)
    if not 0 < length < torch.inf:
        raise ValueError(f"gradient: its norm is {float(length)}, which points nowhere")
    if len(origin) < 2:
        raise ValueError("origin: one parameter spans no plane")
    u = steep / length
    v = torch.from_numpy(np.random.default_rng(seed).normal(size=len(origin))).to(u.device)
    for _ in range(2):  # twice, since one pass leaves rounding errors
        v = v - (v * u).sum() * u
        v = v / torch.linalg.vector_norm(v)
    return Plane(origin, u.to(origin.dtype), v.to(origin.dtype))


@torch.no_grad()
def slice_loss(
    config: TrainConfig, plane: Plane, symbols: Tensor, labels: Tensor, a: Tensor, b: Tensor
) -> Cliff:
    """Measure the training loss of one batch on a grid; each line of the grid is a fleet of points.

    Batch normalization uses the batch's statistics, as in training.

    Args:
        config: the run's config.
        plane: a plane through the run's parameters.
        symbols: the batch's symbols, ``(B, T)``.
        labels: the batch's labels, ``(B,)``.
        a: coordinates along u, ``(n,)``; up to 64 are fastest.
        b: coordinates along v, ``(m,)``.
    """
    fleet = Fleet([config] * len(a), plane.origin.device)
    symbols, labels = symbols.expand(len(a), -1, -1), labels.expand(len(a), -1)
    a, b = a.to(plane.origin), b.to(plane.origin)
    lines = []
    for along_v in b:
        rows = plane.origin + a[:, None] * plane.u + along_v * plane.v  # (n, P)
        params = fleet.layout.unflatten(rows)
        losses, _, _ = fleet.model.losses(params, symbols, labels)
        lines.append(losses.mean(1))  # (n,)
    return Cliff(a, b, torch.stack(lines))
