"""The gated RNN (write-up, part 1.2.1)."""

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


@register_cell("gated_rnn")
class GatedRNN(Cell):
    """A recurrent cell whose gate decides how much of the state stays.

    c[t] = σ(W_c x[t] + W_h h[t-1]),  h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t].
    """

    def weights(self) -> dict[str, Weight]:
        """Return W_x, W_c: (H, I); W_h: (H, H); no biases."""
        hidden = self.hidden_size
        return {
            "W_x": linear(hidden, self.input_size, "input"),
            "W_c": linear(hidden, self.input_size, "input"),
            "W_h": linear(hidden, hidden, "recurrent"),
        }

    def terms(self) -> Terms:
        """Return the three products."""
        return {name: Features((self.hidden_size,)) for name in self.weights()}

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute W_x x[t] and W_c x[t] for all t."""
        candidate = norm("W_x", product(params["W_x"], x))  # (R, T, B, H)
        gate = norm("W_c", product(params["W_c"], x))  # (R, T, B, H)
        return candidate, gate

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return h[0] = 0."""
        return (zeros,)

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute c[t], then h[t]."""
        (candidate, _), (h,) = inputs, carry
        c = self._gate(params, inputs, carry, norm)
        h = c * h + (1 - c) * candidate  # (R, B, H)
        return h, (h,)

    def _gate(self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass) -> Tensor:
        (_, gate), (h,) = inputs, carry
        return sigmoid(gate + norm("W_h", product(params["W_h"], h)))  # (R, B, H)

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the gate c[t]."""
        steps = enumerate(zip(seen.inputs, seen.carries, strict=True))
        return {GATE: torch.stack([self._gate(params, *own, norm.at(t)) for t, own in steps], 2)}
