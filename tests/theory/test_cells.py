"""The closed forms of parts 1.2.1 and 1.2.2 against autograd, over sizes and lags."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.theory import attention_rnn, gated_rnn

SIZES = {
    "I": st.integers(1, 6),
    "H": st.integers(1, 6),
    "T": st.integers(1, 7),
    "seed": st.integers(0, 999),
}
jacobian = torch.autograd.functional.jacobian


def drawer(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)


def free(params):
    return {name: value.clone().requires_grad_() for name, value in params.items()}


def close(mine, judged):
    torch.testing.assert_close(mine, judged, rtol=1e-10, atol=1e-10)


@given(**SIZES)
@settings(max_examples=40)
def test_the_gated_rnn(I, H, T, seed):
    draw = drawer(seed)
    params = {"W_x": draw(H, I), "W_c": draw(H, I), "W_h": draw(H, H)}
    x, h, delta = [draw(I) for _ in range(T)], draw(H), draw(H)
    now = gated_rnn.step(params, x[0], h)
    judged = jacobian(lambda h: gated_rnn.step(params, x[0], h).after, h)
    close(gated_rnn.state_jacobian(params, now), judged)

    weights, inputs = free(params), [x_t.clone().requires_grad_() for x_t in x]
    after, state = [], h
    for x_t in inputs:
        after.append(gated_rnn.step(weights, x_t, state))
        state = after[-1].after
    judged = torch.autograd.grad(state, [*weights.values(), *inputs], delta)
    with torch.no_grad():
        of_weights, of_inputs = gated_rnn.backward_through_time(params, after, delta)
    for mine, other in zip([*of_weights.values(), *of_inputs], judged, strict=True):
        close(mine, other)


@given(k=st.integers(1, 5), **SIZES)
@settings(max_examples=40)
def test_attention_over_k_states(k, I, H, T, seed):
    draw = drawer(seed)
    params = {f"{n}_{i}": 0.5 * draw(H, H if i else I) for i in range(k + 1) for n in "QKV"}
    x, own = [draw(I) for _ in range(T)], [draw(H) for _ in range(T)]
    sources = [x[0], *[draw(H) for _ in range(k)]]
    now = attention_rnn.step(params, sources)
    judged = jacobian(lambda *s: attention_rnn.step(params, s).after, tuple(sources))
    for lag in range(k + 1):
        close(attention_rnn.state_jacobian(params, now, lag), judged[lag])

    weights = free(params)
    steps = attention_rnn.run(weights, x, k)
    states = [each.after for each in steps]
    gradients = torch.autograd.grad(states, [*states, *weights.values()], own)
    with torch.no_grad():
        totals = attention_rnn.backward(params, steps, own, k)
        of_weights = attention_rnn.weight_gradients(params, steps, totals)
    for mine, other in zip([*totals, *of_weights.values()], gradients, strict=True):
        close(mine, other)


@given(**SIZES)
@settings(max_examples=30)
def test_attention_over_all_states(I, H, T, seed):
    draw = drawer(seed)
    params = {"E": draw(H, I)} | {name: 0.5 * draw(H, H) for name in "QKV"}
    x, own = [draw(I) for _ in range(T)], [draw(H) for _ in range(T)]
    states = [each.after for each in attention_rnn.run_endless(free(params), x)]
    judged = torch.autograd.grad(states, states, own)
    steps = attention_rnn.run_endless(params, x)
    totals = attention_rnn.backward(attention_rnn.shared(params, T), steps, own)
    for mine, other in zip(totals, judged, strict=True):
        close(mine, other)


def test_the_write_ups_derivative_of_attention_is_another():
    draw = drawer(0)
    params = {f"{n}_{i}": draw(3, 3 if i else 2) for i in range(3) for n in "QKV"}
    now = attention_rnn.step(params, [draw(2), draw(3), draw(3)])
    written = attention_rnn.state_jacobian_of_the_write_up(params, now, 1)
    # it is right about w / Σ w in the place of a softargmax
    queries, keys, values = now.queries, now.keys, now.values

    def of_scores_over_their_sum(h):
        q = torch.stack([queries[0], params["Q_1"] @ h, queries[2]])
        k = torch.stack([keys[0], params["K_1"] @ h, keys[2]])
        w = (q * k).sum(1)
        return (w / w.sum()) @ values

    close(
        written - now.weights[1] * params["V_1"], jacobian(of_scores_over_their_sum, now.sources[1])
    )
    assert (written - attention_rnn.state_jacobian(params, now, 1)).abs().max() > 0.1
