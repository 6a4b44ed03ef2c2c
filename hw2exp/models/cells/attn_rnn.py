"""AttentionRNN(k): attention over the input and the last k states (write-up, part 1.2.2 a-c)."""

from typing import ClassVar

from hw2exp.config.doors import register_cell
from hw2exp.config.groups import Model
from hw2exp.config.knob import shared
from hw2exp.models.axes import Params
from hw2exp.models.cell import SCORES, Carry, Cell, Inputs, Unrolled, Weight, linear, product
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch


class AttnRNNKnobs(Model):
    """The knobs of AttentionRNN(k)."""

    lags: int = shared("how many past states the cell looks back to, k", ge=1, le=512)

    attention: ClassVar[bool] = True

    @property
    def products(self) -> int:
        """Return the products with the input and with the state at each lag."""
        return 1 + 2 * self.lags


@register_cell("attn_rnn", AttnRNNKnobs)
class AttnRNN(Cell):
    """Attention over the input and the last k states, with Q, K, V of its own for every lag.

    q_i, k_i, v_i = Q_i h[t-i], K_i h[t-i], V_i h[t-i] for i = 1…k, and of x[t] for i = 0;
    w_i = q_iᵀ k_i,  a = softargmax(w),  h[t] = Σ a_i v_i.

    States before the first are zero: they take part with w = 0, v = 0.
    """

    def weights(self) -> dict[str, Weight]:
        """Return Q_0, K_0, V_0: (H, I); Q_i, K_i, V_i: (H, H); no biases."""
        hidden, lags = self.hidden_size, range(1, self.options.lags + 1)
        of_input = {f"{name}_0": linear(hidden, self.input_size, "input") for name in "QKV"}
        of_states = {
            f"{name}_{i}": linear(hidden, hidden, "recurrent") for i in lags for name in "QKV"
        }
        return of_input | of_states

    def heads(self) -> dict[tuple[str, str], slice]:
        """Return Q_i and K_i of the input and of each lag."""
        return {(f"Q_{i}", f"K_{i}"): slice(i, i + 1) for i in range(self.options.lags + 1)}

    def terms(self) -> Terms:
        """Return queries, keys and values of the input, and those of a state for all lags."""
        hidden, lags = self.hidden_size, self.options.lags
        return {
            "x": Features((3, hidden), attention=True),
            "h": Features((3, lags, hidden), attention=True),
        }

    def prepare(self, params: Params) -> Params:
        """Stack the matrices, so that an input or a state needs one product."""
        lags = range(1, self.options.lags + 1)
        of_input = torch.cat([params[f"{name}_0"] for name in "QKV"], 1)  # (R, 3H, I)
        of_states = torch.cat([params[f"{name}_{i}"] for name in "QKV" for i in lags], 1)
        return params | {"QKV_0": of_input, "QKV_lags": of_states}  # (R, 3KH, H)

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute w_0 and v_0 for all t."""
        qkv = product(params["QKV_0"], x).view(*x.shape[:-1], 3, self.hidden_size)
        q, k, v = norm("x", qkv).unbind(-2)  # (R, T, B, H)
        return score(q, k), v

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return k zero states, newest first: scores (R, B, K) and values (R, B, K, H) of each."""
        lags = self.options.lags
        values = zeros[:, :, None].expand(-1, -1, lags, -1)  # (R, B, K, H)
        carry: Carry = (values[..., 0], values) * lags
        return carry

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute h[t], and its scores and values for all later steps."""
        v_0, values = inputs[1], carry[1::2]
        w = self._scores(inputs, carry)
        v = torch.stack([v_0, *(s[:, :, i] for i, s in enumerate(values))], -2)  # (R, B, 1+K, H)
        a = torch.softmax(w, -1)  # (R, B, 1+K)
        h = (a[..., None] * v).sum(-2)  # (R, B, H)
        qkv = product(params["QKV_lags"], h).view(*h.shape[:-1], 3, -1, self.hidden_size)
        q, k, v = norm("h", qkv).unbind(-3)  # (R, B, K, H)
        return h, (score(q, k), v, *carry[:-2])

    def _scores(self, inputs: Inputs, carry: Carry) -> Tensor:
        scores = (s[..., i] for i, s in enumerate(carry[::2]))
        return torch.stack([inputs[0], *scores], -1)  # (R, B, 1+K)

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the scores w_0, of the input, and w_1 … w_k."""
        steps = zip(seen.inputs, seen.carries, strict=True)
        return {SCORES: torch.stack([self._scores(*own) for own in steps], 2)}


def score(q: Tensor, k: Tensor) -> Tensor:
    """Compute w = qᵀ k.

    Args:
        q: queries, ``(..., H)``.
        k: keys, ``(..., H)``.
    """
    return (q * k).sum(-1)
