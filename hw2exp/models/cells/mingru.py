"""The minGRU, whose gate sees the input alone (Feng et al. 2024)."""

from typing import Any

from hw2exp.config.doors import register_cell
from hw2exp.models.axes import Params
from hw2exp.models.cell import (
    GATE,
    Carry,
    Cell,
    Inputs,
    Unrolled,
    Weight,
    linear,
    product,
    sigmoid,
)
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch


@register_cell("mingru")
class MinGRU(Cell):
    """A recurrent cell that is linear in its state: no gate depends on the state.

    z = σ(W_z x[t]),  h[t] = (1 - z) ⊙ h[t-1] + z ⊙ W_h x[t].

    Source: Feng et al. 2024, "Were RNNs all we needed?", arXiv:2410.01201, §3.1.3. Without biases,
    as the paper counts its parameters.
    """

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a scale without effect."""
        problems: list[str] = config.init.unscaled("model=mingru has no recurrent weights", "scale")
        return problems

    def weights(self) -> dict[str, Weight]:
        """Return W_z, W_h: (H, I); no biases."""
        return {name: linear(self.hidden_size, self.input_size, "input") for name in ("W_z", "W_h")}

    def terms(self) -> Terms:
        """Return both products."""
        return {name: Features((self.hidden_size,)) for name in self.weights()}

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute 1 - z and z ⊙ W_h x[t] for all t."""
        gate = norm("W_z", product(params["W_z"], x))  # (R, T, B, H)
        candidate = norm("W_h", product(params["W_h"], x))  # (R, T, B, H)
        z = sigmoid(gate)
        return 1 - z, z * candidate

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return h[0] = 0."""
        return (zeros,)

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute h[t]."""
        (kept, added), (h,) = inputs, carry
        h = kept * h + added  # (R, B, H)
        return h, (h,)

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return 1 - z, the share of h[t-1] that is kept."""
        return {GATE: torch.stack([kept for kept, _ in seen.inputs], 2)}
