"""σReparam: matrices whose spectral norm is a parameter."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_norm
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, State
from hw2exp.models.normalization.protocol import Gain, Matrices, Norm, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch

PREFIX = "sigma_"
"""Beginning of the name of a matrix's γ, which is the spectral norm of the matrix in use."""


@register_norm("sigma_reparam")
@dataclass(frozen=True)
class SigmaReparam(Norm):
    """The reparametrization γ W / σ(W) of every matrix of a cell, with σ its spectral norm.

    Each of the matrices that are stacked in a parameter has its own γ. The paper approximates the
    singular vectors of σ by one step of power iteration in each training step. Here they are exact,
    from the singular value decomposition. So a pass depends on the parameters alone, and there is
    no knob for the number of iterations, of which a small gap between singular values may need
    many. The readout, which is not part of the cell, stays unchanged.

    Args:
        gamma: initial γ, ``(R,)``; 1 in the paper.

    Source: Zhai et al. 2023, "Stabilizing transformer training by preventing attention entropy
    collapse", arXiv:2303.06296, §3.2 and algorithm 1.
    """

    gamma: Annotated[Tensor, per_replica("spectral norm of each matrix at the start", gt=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problems of scales without effect."""
        problems: list[str] = config.init.unscaled(
            "norm=sigma_reparam gives each matrix the spectral norm norm.gamma",
            "scale",
            "input_scale",
        )
        return problems

    def matrix_gains(self, matrices: Matrices) -> dict[str, Gain]:
        """Return γ of every matrix."""
        return {PREFIX + name: Gain((blocks,), self.gamma) for name, blocks in matrices.items()}

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        return _SigmaPass()


class _SigmaPass(NormPass):
    def prepare(self, params: Params) -> Params:
        own = {
            name: _reparametrize(params[name], gamma)
            for key, gamma in params.items()
            if key.startswith(PREFIX) and (name := key.removeprefix(PREFIX)) in params
        }
        return params | own


def _reparametrize(stacked: Tensor, gamma: Tensor) -> Tensor:
    """Return γ W / σ(W) of matrices W that are stacked in one parameter; zeros stay zeros.

    Args:
        stacked: the parameter, ``(R, n out, in)``.
        gamma: γ of each matrix, ``(R, n)``.
    """
    R, n = gamma.shape
    matrices = stacked.reshape(R, n, -1, stacked.shape[2])  # (R, n, out, in)
    sigma = spectral_norm(matrices)  # (R, n)
    factor = torch.where(sigma > 0, gamma / torch.where(sigma > 0, sigma, 1), 0)
    scaled: Tensor = factor[..., None, None] * matrices
    return scaled.flatten(1, 2)


def spectral_norm(matrices: Tensor) -> Tensor:
    """Return σ = uᵀ W v of matrices ``(R, n, out, in)``, differentiable by ∂σ/∂W = u vᵀ.

    The singular vectors are held fixed, as in the paper: their own derivatives, which grow as two
    singular values meet, cancel in that of σ.
    """
    with torch.no_grad():
        sound = matrices.isfinite().all(-1).all(-1)  # (R, n); a decomposition refuses NaN
        finite = torch.where(sound[..., None, None], matrices, 0).double()
        left, _, right = torch.linalg.svd(finite, full_matrices=False)
        u, v = left[..., :, 0].to(matrices.dtype), right[..., 0, :].to(matrices.dtype)
    along = (matrices * v[..., None, :]).sum(-1)  # W v, (R, n, out)
    sigma: Tensor = (along * u).sum(-1)
    return sigma
