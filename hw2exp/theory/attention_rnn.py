"""Compute AttentionRNN(k) and (∞) by definition, and their derivatives (write-up, part 1.2.2).

All functions take one sequence. A source is x[t] ``(I,)`` or a state ``(H,)``. Lag 0 is the input,
lag i is h[t-i]. Matrices are named ``Q_0 … Q_k`` (and K, V); ``lags`` is k. In AttentionRNN(∞) all
lags share one Q, K and V ``(H, H)``, and E ``(H, I)`` embeds the input: see :func:`shared`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.models.axes import Params


@dataclass(frozen=True)
class Step:
    """The intermediate values of a step.

    Args:
        sources: x[t], h[t-1], …, h[t-k].
        queries: q_0 … q_k, ``(1+K, H)``.
        keys: k_0 … k_k, ``(1+K, H)``.
        values: v_0 … v_k, ``(1+K, H)``.
        scores: w_0 … w_k, ``(1+K,)``.
        weights: a_0 … a_k, ``(1+K,)``.
        after: h[t], ``(H,)``.
    """

    sources: Sequence[Tensor]
    queries: Tensor
    keys: Tensor
    values: Tensor
    scores: Tensor
    weights: Tensor
    after: Tensor


def step(params: Params, sources: Sequence[Tensor]) -> Step:
    """Compute one step by the equations of part 1.2.2 (c).

    Args:
        params: the matrices.
        sources: x[t], h[t-1], …, h[t-k].
    """
    q, k, v = (
        torch.stack([params[f"{name}_{i}"] @ source for i, source in enumerate(sources)])
        for name in "QKV"
    )  # (1+K, H)
    w = (q * k).sum(1)  # (1+K,)
    a = torch.softmax(w, 0)  # (1+K,)
    return Step(tuple(sources), q, k, v, w, a, a @ v)


def run(params: Params, x: Sequence[Tensor], lags: int) -> list[Step]:
    """Run AttentionRNN(k) over x[1] … x[T]; states before the first are zero and take part."""
    states = [x[0].new_zeros(params["V_1"].shape[0])] * lags
    steps = []
    for x_t in x:
        steps.append(step(params, [x_t, *states[: -lags - 1 : -1]]))
        states.append(steps[-1].after)
    return steps


def shared(params: Params, lags: int) -> Params:
    """Return the matrices of every lag of AttentionRNN(∞): Q_0 = Q E, Q_i = Q."""
    of_input = {f"{name}_0": params[name] @ params["E"] for name in "QKV"}
    return of_input | {f"{name}_{i}": params[name] for name in "QKV" for i in range(1, lags + 1)}


def run_endless(params: Params, x: Sequence[Tensor]) -> list[Step]:
    """Run AttentionRNN(∞) over x[1] … x[T] (part 1.2.2 d); only existing states take part."""
    matrices = shared(params, len(x))
    states: list[Tensor] = []
    steps = []
    for x_t in x:
        steps.append(step(matrices, [x_t, *reversed(states)]))
        states.append(steps[-1].after)
    return steps


def state_jacobian(params: Params, now: Step, lag: int) -> Tensor:
    """Return ∂h[t]/∂h[t-i], the direct dependence only (part 1.2.2 e, for any lag).

    It is a_i V_i + a_i (v_i - h[t]) (k_iᵀ Q_i + q_iᵀ K_i), with the other states held fixed.

    Args:
        params: the matrices.
        now: the step.
        lag: i, from 1; 0 for ∂h[t]/∂x[t].

    Returns:
        ``(H, H)``.
    """
    Q, K, V = (params[f"{name}_{lag}"] for name in "QKV")
    a = now.weights[lag]
    row = now.keys[lag] @ Q + now.queries[lag] @ K  # ∂w_i/∂h[t-i], (H,)
    return a * V + a * torch.outer(now.values[lag] - now.after, row)


def state_jacobian_of_the_write_up(params: Params, now: Step, lag: int) -> Tensor:
    """Return ∂h[t]/∂h[t-i] as in part 1.2.2 (e), which differentiates w / Σ w, not the softargmax.

    (v_i / Σ w - Σ w v / (Σ w)²) (k_iᵀ Q_i + q_iᵀ K_i) + a_i V_i, ``(H, H)``, for a lag i from 1.
    """
    Q, K, V = (params[f"{name}_{lag}"] for name in "QKV")
    w, v = now.scores, now.values
    row = now.keys[lag] @ Q + now.queries[lag] @ K  # (H,)
    column = v[lag] / w.sum() - (w @ v) / w.sum() ** 2  # (H,)
    return torch.outer(column, row) + now.weights[lag] * V


def backward(
    params: Params, steps: Sequence[Step], own: Sequence[Tensor], lags: int | None = None
) -> list[Tensor]:
    """Return the total derivative with respect to every state (part 1.2.2 f).

    ∂ℓ/∂h[T] = own[T] + Σ_{t=T+1}^{T+k} ∂ℓ/∂h[t] ∂h[t]/∂h[T].

    Args:
        params: the matrices.
        steps: the steps that computed h[1] … h[N].
        own: for each t, the derivative of the loss with respect to h[t] where it reads h[t] itself,
            ``(H,)``.
        lags: k; None for AttentionRNN(∞), whose sum runs to the end.

    Returns:
        The total derivatives with respect to h[1] … h[N], each ``(H,)``.
    """
    end = len(steps)
    totals = list(own)
    for at in reversed(range(end)):
        last = end if lags is None else min(end, at + lags + 1)
        for t in range(at + 1, last):
            totals[at] = totals[at] + totals[t] @ state_jacobian(params, steps[t], t - at)
    return totals


def weight_gradients(params: Params, steps: Sequence[Step], totals: Sequence[Tensor]) -> Params:
    """Return the gradients of the matrices from all steps and the total derivatives by h[1] … h[N].

    With δ = ∂ℓ/∂h[t]: ∂ℓ/∂w_i = a_i δᵀ(v_i - h[t]), ∂ℓ/∂V_i = Σ_t a_i δ sᵀ,
    ∂ℓ/∂Q_i = Σ_t ∂ℓ/∂w_i k_i sᵀ, ∂ℓ/∂K_i = Σ_t ∂ℓ/∂w_i q_i sᵀ, for the source s of lag i.
    """
    names = [name for name in params if name[:2] in ("Q_", "K_", "V_")]
    gradients = {name: torch.zeros_like(params[name]) for name in names}
    for now, delta in zip(steps, totals, strict=True):
        for i, source in enumerate(now.sources):
            a, dw = now.weights[i], now.weights[i] * (delta @ (now.values[i] - now.after))
            gradients[f"V_{i}"] += a * torch.outer(delta, source)
            gradients[f"Q_{i}"] += dw * torch.outer(now.keys[i], source)
            gradients[f"K_{i}"] += dw * torch.outer(now.queries[i], source)
    return gradients
