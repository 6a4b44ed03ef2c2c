"""AttentionRNN(∞): attention over the input and all past states (write-up, part 1.2.2 d)."""

from typing import ClassVar

from hw2exp.config.doors import register_cell
from hw2exp.config.groups import Model
from hw2exp.models.axes import Params
from hw2exp.models.cell import SCORES, Carry, Cell, Inputs, Unrolled, Weight, linear, product
from hw2exp.models.cells.attn_rnn import score
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch


class AttnRNNInfKnobs(Model):
    """The knobs of AttentionRNN(∞)."""

    attention: ClassVar[bool] = True


@register_cell("attn_rnn_inf", AttnRNNInfKnobs)
class AttnRNNInf(Cell):
    """Attention over the input and all states so far, with one Q, K, V for all.

    Like AttentionRNN(k), but E embeds the input in the space of the states, and only existing
    states take part. A past state's score and value never change. So a running softargmax (maximum
    m, numerator n, denominator d) makes a step O(1) in t.
    """

    def weights(self) -> dict[str, Weight]:
        """Return E: (H, I); Q, K, V: (H, H); no biases."""
        hidden = self.hidden_size
        embedding = {"E": linear(hidden, self.input_size, "input")}
        return embedding | {name: linear(hidden, hidden, "recurrent") for name in "QKV"}

    def heads(self) -> dict[tuple[str, str], slice]:
        """Return Q and K, which all scores share."""
        return {("Q", "K"): slice(None)}

    def terms(self) -> Terms:
        """Return queries, keys and values of the input and of a state."""
        return {name: Features((3, self.hidden_size), attention=True) for name in "xh"}

    def prepare(self, params: Params) -> Params:
        """Stack the matrices, so that an input or a state needs one product."""
        return params | {"QKV": torch.cat([params[name] for name in "QKV"], 1)}  # (R, 3H, H)

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute the input's score and value for all t."""
        w, v = self._attend(params, product(params["E"], x), "x", norm)
        return w[..., None], v  # (R, T, B, 1), (R, T, B, H)

    def _attend(
        self, params: Params, source: Tensor, term: str, norm: NormPass
    ) -> tuple[Tensor, Tensor]:
        qkv = product(params["QKV"], source).view(*source.shape[:-1], 3, self.hidden_size)
        q, k, v = norm(term, qkv).unbind(-2)  # (..., H)
        return score(q, k), v

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return m = -∞, n = 0, d = 0, since no state exists yet."""
        none = zeros[..., :1]  # (R, B, 1)
        return torch.full_like(none, -torch.inf), zeros, none

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute h[t] = (Σ e^w v) / (Σ e^w), from the input and the running sums."""
        (w_0, v_0), (m, n, d) = inputs, carry
        # The maximum cancels in the quotient, so it needs no gradient.
        top = torch.maximum(m, w_0.detach())  # (R, B, 1)
        past, now = (m - top).exp(), (w_0 - top).exp()
        h = (past * n + now * v_0) / (past * d + now)  # (R, B, H)
        w, v = self._attend(params, h, "h", norm)
        w = w[..., None]  # (R, B, 1)
        top = torch.maximum(m, w.detach())
        past, now = (m - top).exp(), (w - top).exp()
        return h, (top, past * n + now * v, past * d + now)

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the scores of the input and of all past states, newest first."""
        states = enumerate(seen.states)
        own = torch.stack(
            [self._attend(params, h, "h", norm.at(t))[0] for t, h in states], -1
        )  # (R, B, T)
        w_0 = torch.cat([w for w, _ in seen.inputs], -1)  # (R, B, T)
        T = len(seen.states)
        lags = torch.arange(1, T, device=own.device)
        source = torch.arange(T, device=own.device)[:, None] - lags  # (T, T-1): index of the state
        past = own[..., source.clamp(min=0)].masked_fill(source < 0, -torch.inf)
        return {SCORES: torch.cat([w_0[..., None], past], -1)}  # (R, B, T, T)
