"""Elman's RNN, equal to ``torch.nn.RNN``, plus a sigmoid variant."""

from typing import Literal

from hw2exp.config.doors import register_cell
from hw2exp.config.groups import Model
from hw2exp.config.knob import shared
from hw2exp.models.axes import Params
from hw2exp.models.cell import Carry, Cell, Inputs, Weight, product, sigmoid
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch


class ElmanRNNKnobs(Model):
    """The knobs of Elman's RNN."""

    nonlinearity: Literal["tanh", "relu", "sigmoid"] = shared("the activation")

    @property
    def compiled(self) -> str:
        """Return the name of the closed form; each activation has its own."""
        return self.name if self.nonlinearity == "tanh" else f"{self.name}_{self.nonlinearity}"


@register_cell("rnn", ElmanRNNKnobs)
class ElmanRNN(Cell):
    """Elman's RNN: h[t] = φ(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), with φ = tanh, ReLU or σ."""

    def weights(self) -> dict[str, Weight]:
        """Return the parameters; names, shapes, order and distribution as in ``torch.nn.RNN``."""
        hidden = self.hidden_size
        return {
            "weight_ih": Weight((hidden, self.input_size), "input", fan=hidden),
            "weight_hh": Weight((hidden, hidden), "recurrent", fan=hidden),
            "bias_ih": Weight((hidden,), "bias", fan=hidden),
            "bias_hh": Weight((hidden,), "bias", fan=hidden),
        }

    def terms(self) -> Terms:
        """Return the products with the input and with the state."""
        return {name: Features((self.hidden_size,)) for name in ("weight_ih", "weight_hh")}

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute W_ih x[t] + b for all t."""
        bias = params["bias_ih"] + params["bias_hh"]  # (R, H)
        return (norm("weight_ih", product(params["weight_ih"], x)) + bias[:, None, None],)

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return h[0] = 0."""
        return (zeros,)

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute h[t]."""
        (drive,), (h,) = inputs, carry
        z = drive + norm("weight_hh", product(params["weight_hh"], h))  # (R, B, H)
        phi = self.options.nonlinearity
        h = sigmoid(z) if phi == "sigmoid" else getattr(torch, phi)(z)
        return h, (h,)

    def slope(self, states: Tensor) -> Tensor:
        """Compute φ'(z[t]) from h[t] = φ(z[t]).

        Args:
            states: h[t], any shape.
        """
        match self.options.nonlinearity:
            case "relu":
                return (states > 0).to(states.dtype)
            case "sigmoid":
                return states * (1 - states)
            case _:
                return 1 - states * states
