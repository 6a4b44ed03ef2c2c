"""The LSTM, equal to ``torch.nn.LSTM`` (Hochreiter & Schmidhuber 1997; forget gate: Gers 2000)."""

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


@register_cell("lstm")
class LSTM(Cell):
    """A recurrent cell with a gated memory.

    i, f, g, o = σ, σ, tanh, σ (W_ih x[t] + b_ih + W_hh h[t-1] + b_hh),
    c[t] = f ⊙ c[t-1] + i ⊙ g,  h[t] = o ⊙ tanh(c[t]).
    """

    def weights(self) -> dict[str, Weight]:
        """Return the parameters; names, shapes, order and distribution as in ``torch.nn.LSTM``."""
        hidden, gates = self.hidden_size, 4 * self.hidden_size
        return {
            "weight_ih": Weight((gates, self.input_size), "input", fan=hidden, blocks=4),
            "weight_hh": Weight((gates, hidden), "recurrent", fan=hidden, blocks=4),
            "bias_ih": Weight((gates,), "bias", fan=hidden, forget=slice(hidden, 2 * hidden)),
            "bias_hh": Weight((gates,), "bias", fan=hidden),
        }

    def terms(self) -> Terms:
        """Return the two products and the cell state (Cooijmans et al. 2016, eq. 6-8)."""
        gates = Features((4 * self.hidden_size,))
        cell = Features((self.hidden_size,), shift=True)
        return {"weight_ih": gates, "weight_hh": gates, "c": cell}

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute W_ih x[t] + b for all t."""
        bias = params["bias_ih"] + params["bias_hh"]  # (R, 4H)
        return (norm("weight_ih", product(params["weight_ih"], x)) + bias[:, None, None],)

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return h[0] = c[0] = 0."""
        return zeros, zeros

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute c[t] and h[t]."""
        c = carry[1]
        z = self._drive(params, inputs, carry, norm)
        i_f, g, o = torch.tensor_split(z, (2 * self.hidden_size, 3 * self.hidden_size), -1)
        i, f = sigmoid(i_f).chunk(2, -1)
        c = f * c + i * torch.tanh(g)  # (R, B, H)
        h = sigmoid(o) * torch.tanh(norm("c", c))  # (R, B, H)
        return h, (h, c)

    def _drive(self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass) -> Tensor:
        (drive,), (h, _) = inputs, carry
        return drive + norm("weight_hh", product(params["weight_hh"], h))  # (R, B, 4H)

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the forget gate f: the share of c[t-1] that is kept."""
        steps = enumerate(zip(seen.inputs, seen.carries, strict=True))
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        drives = [self._drive(params, *own, norm.at(t))[..., forget] for t, own in steps]
        return {GATE: sigmoid(torch.stack(drives, 2))}
