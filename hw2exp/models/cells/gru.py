"""The GRU, equal to ``torch.nn.GRU`` (Cho et al. 2014)."""

from hw2exp.config.doors import register_cell
from hw2exp.models.axes import Params
from hw2exp.models.cell import (
    GATE,
    Carry,
    Cell,
    Inputs,
    Unrolled,
    Weight,
    product,
    sigmoid,
)
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch


@register_cell("gru")
class GRU(Cell):
    """A recurrent cell whose update gate decides how much of the state stays.

    r, z = σ(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), the first 2H rows;
    n = tanh(W_in x[t] + b_in + r ⊙ (W_hn h[t-1] + b_hn)), of the last H rows;
    h[t] = (1 - z) ⊙ n + z ⊙ h[t-1].

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", arXiv:1406.1078, eq. 5-8; as in torch and cuDNN, the reset
    gate acts after the product with W_hn.
    """

    def weights(self) -> dict[str, Weight]:
        """Return the parameters; names, shapes, order and distribution as in ``torch.nn.GRU``."""
        hidden, gates = self.hidden_size, 3 * self.hidden_size
        return {
            "weight_ih": Weight((gates, self.input_size), "input", fan=hidden, blocks=3),
            "weight_hh": Weight((gates, hidden), "recurrent", fan=hidden, blocks=3),
            "bias_ih": Weight((gates,), "bias", fan=hidden),
            "bias_hh": Weight((gates,), "bias", fan=hidden),
        }

    def terms(self) -> Terms:
        """Return the products with the input and with the state."""
        return {name: Features((3 * self.hidden_size,)) for name in ("weight_ih", "weight_hh")}

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute W_ih x[t] + b_ih for all t."""
        drive = norm("weight_ih", product(params["weight_ih"], x))  # (R, T, B, 3H)
        return (drive + params["bias_ih"][:, None, None],)

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return h[0] = 0."""
        return (zeros,)

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute r and z, then h[t]."""
        (h,) = carry
        (r, z), drive, of_state = self._gates(params, inputs, carry, norm)
        n = torch.tanh(drive + r * of_state)  # (R, B, H)
        h = (1 - z) * n + z * h
        return h, (h,)

    def _gates(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Compute r and z, and the two parts of the drive of n, each ``(R, B, H)``."""
        (drive,), (h,) = inputs, carry
        of_state = norm("weight_hh", product(params["weight_hh"], h)) + params["bias_hh"][:, None]
        both = 2 * self.hidden_size
        gates = sigmoid(drive[..., :both] + of_state[..., :both]).chunk(2, -1)
        return gates, drive[..., both:], of_state[..., both:]

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the update gate z: the share of h[t-1] that is kept."""
        steps = enumerate(zip(seen.inputs, seen.carries, strict=True))
        gates = [self._gates(params, *own, norm.at(t))[0][1] for t, own in steps]
        return {GATE: torch.stack(gates, 2)}
