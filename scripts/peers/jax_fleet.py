"""The same training in JAX: jit(scan(vmap(value_and_grad(scan over time)) and RMSprop)).

The code is written for speed on a CPU, and each choice was measured. States are ``(H, B)``, so that
the vectorized axis is the longer one. Inputs are rows of a table, looked up inside the scan over
time. Softargmax is spelled out over the few sources. Several training steps make one compiled call.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

Params = dict[str, Array]
"""Parameters by the same names as in hw2exp, without the replica axis."""

Cell = Callable[[Params, Array, int], Array]


def table(weight: Array) -> Array:
    """Return W x for every symbol x, ``(I + 1, H)``; padding is a zero vector."""
    return jnp.pad(weight.T, ((0, 1), (0, 0)))


def gated_rnn(params: Params, symbols: Array, unroll: int) -> Array:
    """Return the last state ``(H, B)`` of sequences ``(T, B)``."""
    candidate, gate = table(params["W_x"]), table(params["W_c"])

    def step(h: Array, now: Array) -> tuple[Array, None]:
        c = jax.nn.sigmoid(gate[now].T + params["W_h"] @ h)
        return c * h + (1 - c) * candidate[now].T, None

    start = jnp.zeros((params["W_h"].shape[0], symbols.shape[1]))
    return lax.scan(step, start, symbols, unroll=unroll)[0]


def attn_rnn(params: Params, symbols: Array, unroll: int, lags: int = 2) -> Array:
    """Return the last state ``(H, B)`` of sequences ``(T, B)``.

    Each state is multiplied once by all Q, K, V. Its score and value for lag i wait in the i-th
    queue, i steps long.
    """
    hidden, batch = params["Q_1"].shape[0], symbols.shape[1]
    w_0 = jnp.pad((params["Q_0"] * params["K_0"]).sum(0), (0, 1))  # of every symbol: (I + 1,)
    v_0 = table(params["V_0"])
    qkv = jnp.concatenate([params[f"{name}_{i + 1}"] for name in "QKV" for i in range(lags)])

    def step(carry: tuple[tuple, Array], now: Array) -> tuple[tuple[tuple, Array], None]:
        queues, _ = carry
        w, v = zip((w_0[now], v_0[now].T), *(queue[0] for queue in queues), strict=True)
        top = lax.stop_gradient(jnp.stack(w).max(0))
        e = [jnp.exp(own - top) for own in w]
        h = sum(a * own for a, own in zip(e, v, strict=True)) / sum(e)  # (H, B)
        q, k, v = (qkv @ h).reshape(3, lags, hidden, batch)
        w = (q * k).sum(1)  # (K, B)
        queues = tuple((*queue[1:], (w[i], v[i])) for i, queue in enumerate(queues))
        return (queues, h), None

    nothing = jnp.zeros(batch), jnp.zeros((hidden, batch))
    queues = tuple((nothing,) * (i + 1) for i in range(lags))
    return lax.scan(step, (queues, nothing[1]), symbols, unroll=unroll)[0][1]


CELLS: dict[str, Cell] = {"gated_rnn": gated_rnn, "attn_rnn": attn_rnn}


def loss(params: Params, symbols: Array, labels: Array, cell: Cell, unroll: int) -> Array:
    """Return the mean cross-entropy of one replica's batch."""
    last = cell(params, symbols, unroll)
    logits = last.T @ params["readout_weight"].T + params["readout_bias"]  # (B, C)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def loss_and_gradient(model: str, unroll: int) -> Callable:
    """Return a function that computes the loss and the gradient of every replica of a fleet.

    The function takes parameters ``(R, ...)``, symbols ``(R, T, B)`` and labels ``(R, B)``.
    """
    return jax.vmap(jax.value_and_grad(partial(loss, cell=CELLS[model], unroll=unroll)))


def trainer(model: str, unroll: int, lr: float = 1e-3, alpha: float = 0.99) -> Callable:
    """Compile training over batches ``(N, R, ...)``: N steps of RMSprop in one call."""
    fleet = loss_and_gradient(model, unroll)

    def step(state: tuple[Params, Params], batch: tuple[Array, Array]) -> tuple:
        params, squares = state
        losses, grads = fleet(params, *batch)
        squares = jax.tree.map(lambda s, g: alpha * s + (1 - alpha) * g * g, squares, grads)
        params = jax.tree.map(
            lambda p, s, g: p - lr * g / (jnp.sqrt(s) + 1e-8), params, squares, grads
        )
        return (params, squares), losses

    return jax.jit(lambda state, batches: lax.scan(step, state, batches), donate_argnums=0)
