"""Answer part 1.2.2: attention over the input and past states."""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from hw2exp.models.axes import Params
from hw2exp.models.cell import Cell
from hw2exp.theory import attention_rnn
from hw2exp.theory.answer import Answer, Check, Verdict, judge
from hw2exp.theory.answers.cells import (
    HIDDEN,
    STEPS,
    attention_step,
    cell,
    compiled_gradients,
    random_sequence,
    random_weights,
    states,
    total_derivatives,
)
from hw2exp.theory.answers.deviation import Pairs, deviation, jacobians, leaves, worst
from hw2exp.theory.diagram import attention_rnn as figure_2
from hw2exp.theory.drawing import draw

CASES = 5
LAGS = 1, 2, 4


def a() -> Answer:
    """Answer (a): figure 2."""
    pairs, missing = [], set()
    for lags, params, x, h in _cases():
        diagram = figure_2(lags)
        missing |= diagram.matrices() ^ set(_cell(lags).weights())
        sources = {"s_0": x[0]} | {f"s_{i}": h[i - 1] for i in range(1, lags + 1)}
        pairs.append((diagram.run(params, sources), attention_step(lags, params, x[0], h)))
    return Answer(
        "1.2.2 (a)",
        "A diagram of AttentionRNN(2)",
        "Figure 2",
        "attn_rnn.svg of --figures, from a list of nodes and arrows that can also be run; any k",
        [
            Check(
                "the diagram, run arrow by arrow = the cell that trains, k = 1, 2, 4",
                deviation(pairs),
            ),
            Check("its arrows carry the cell's matrices, misses", len(missing), 0),
        ],
        judge(deviation(pairs) < 1e-10, Verdict.FALSE),
        "what is drawn computes h[t]",
        ["matrices on the arrows: " + ", ".join(sorted(figure_2(2).matrices()))],
        figures={"attn_rnn.svg": partial(draw, figure_2(2))},
    )


def b() -> Answer:
    """Answer (b): the size of the attention weights."""
    wrong, example = 0, torch.empty(0)
    for lags, params, x, h in _cases():
        a = attention_rnn.step(params, [x[0], *h[:lags]]).weights
        wrong += len(a) != lags + 1 or not math.isclose(float(a.sum()), 1) or bool((a <= 0).any())
        example = a if lags == 2 else example
    return Answer(
        "1.2.2 (b)",
        "The size of a[t] in AttentionRNN(2)",
        "a[t] ∈ R³",
        "a[t] ∈ (0, 1)^{k+1}, of sum 1",
        [Check("k + 1 positive weights of sum 1, k = 1, 2, 4, misses", wrong, 0)],
        judge(len(example) == 3, Verdict.FALSE),
        "one weight for x[t], one for each of the two states",
        ["a[t] = " + ", ".join(f"{value:.2g}" for value in example)],
    )


def c() -> Answer:
    """Answer (c): AttentionRNN(k)."""
    pairs, first = Pairs(), Pairs()
    for lags, params, x, _ in _cases():
        steps = attention_rnn.run(params, x, lags)
        trained = states(_cell(lags), params, x)
        pairs += zip([s.after for s in steps], trained, strict=True)
        share = torch.sigmoid(steps[0].scores[0] - math.log(lags))  # e^w_0 / (e^w_0 + k)
        first.append((share * steps[0].values[0], trained[0]))
    return Answer(
        "1.2.2 (c)",
        "AttentionRNN(k)",
        "q_i, k_i, v_i = Q_i s, K_i s, V_i s with s = x[t] for i = 0 and h[t−i] for i = 1 … k; "
        "w_i = q_iᵀ k_i, a = softargmax(w), h[t] = Σ a_i v_i",
        "the same; states before the first are zero and take part, with w_i = 0 and v_i = 0",
        [
            Check(
                f"the definition = the cell that trains, k = 1, 2, 4, {STEPS} steps",
                deviation(pairs),
            ),
            Check("h[1] = v_0 e^{w_0} / (e^{w_0} + k) of the cell that trains", deviation(first)),
        ],
        judge(deviation(pairs) < 1e-10, Verdict.FALSE),
        "the cell that trains computes a state's scores and values once, when it is made",
    )


def d() -> Answer:
    """Answer (d): AttentionRNN(∞)."""
    of, pairs = cell("model=attn_rnn_inf"), Pairs()
    for seed in range(CASES):
        params, x = random_weights(of, seed), random_sequence(seed)
        steps = attention_rnn.run_endless(params, x)
        pairs += zip([s.after for s in steps], states(of, params, x), strict=True)
    return Answer(
        "1.2.2 (d)",
        "AttentionRNN(∞)",
        "the same with all lags and one Q, K, V for all: q_i = Q h[t−i], …; "
        "h[t] = Σ_{i=0}^∞ a_i v_i",
        "the sum ends at the first state; sharing needs x and h in one space: Q E x[t] with an "
        "embedding E ∈ R^{m×n}. A past state's w and v never change, so a running softargmax "
        "(maximum, numerator, denominator) makes a step O(1) in t",
        [
            Check(
                f"the definition = the running sums of the cell that trains, {STEPS} steps",
                deviation(pairs),
            )
        ],
        judge(of.input_size == of.hidden_size, Verdict.CORRECTED),
        f"Q h and Q x as they stand need n = m; here n = {of.input_size}, m = {of.hidden_size}",
    )


def e() -> Answer:
    """Answer (e): the direct dependence of a state on an earlier one."""
    pairs, apart = [], []
    for lags, params, x, h in _cases():
        now = attention_rnn.step(params, [x[0], *h[:lags]])
        judged = jacobians(
            lambda *h, lags=lags, p=params, x=x: attention_step(lags, p, x[0], list(h)), h[:lags]
        )
        for lag in range(1, lags + 1):
            pairs.append((attention_rnn.state_jacobian(params, now, lag), judged[lag - 1]))
        if lags == 2:
            written = attention_rnn.state_jacobian_of_the_write_up(params, now, 1)
            apart.append(float((written - judged[0]).norm() / judged[0].norm()))
    example, corner = _example_of_e()
    return Answer(
        "1.2.2 (e)",
        "∂h[t]/∂h[t−1] of AttentionRNN(2)",
        "(v_1/Σw − Σ w v/(Σw)²)(Q_1ᵀ k_1 + q_1ᵀ K_1) + a_1 V_1",
        "a_1 V_1 + a_1 (v_1 − h[t]) (k_1ᵀ Q_1 + q_1ᵀ K_1); for any lag i likewise",
        [Check("closed form = torch's Jacobian, every lag of k = 1, 2, 4", deviation(pairs))],
        judge(worst(apart) < 1e-10, Verdict.FALSE),
        "it differentiates w_1/Σw, not e^{w_1}/Σe^w: it explodes where Σw is near 0, and falls "
        "only as 1/Σw where a_1 vanishes. (It also adds a column to a row, Q_1ᵀk_1 + q_1ᵀK_1, "
        "which was read as k_1ᵀQ_1 + q_1ᵀK_1)",
        [
            "its relative error in random cases: " + ", ".join(f"{error:.2g}" for error in apart),
            example,
            corner,
        ],
    )


def f() -> Answer:
    """Answer (f): the sum over future states."""
    pairs, written, gradients = Pairs(), [], Pairs()
    for lags, params, x, _ in _cases():
        steps = attention_rnn.run(params, x, lags)
        own = random_sequence(9, HIDDEN)
        judged = total_derivatives(_cell(lags), params, x, own)
        pairs += zip(attention_rnn.backward(params, steps, own, lags), judged, strict=True)
        only_sum = [total - mine for total, mine in zip(judged, own, strict=True)]
        written.append(deviation([(a, b) for a, b in zip(only_sum, judged, strict=True)]))
        gradients += _weight_gradients(lags, params, x)
    pairs += _endless_totals()
    compiled = compiled_gradients("model=attn_rnn", _gradients)
    return Answer(
        "1.2.2 (f)",
        "∂ℓ/∂h[T] from the gradients of future states",
        "Σ_{t>T} ∂ℓ/∂h[t] ∂h[t]/∂h[T]",
        "(∂ℓ/∂h[T])_own + Σ_{t=T+1}^{T+k} ∂ℓ/∂h[t] ∂h[t]/∂h[T], with total ∂ℓ/∂h[t] and direct "
        "∂h[t]/∂h[T]; for (∞) the sum runs to the end",
        [
            Check("as a working backward pass = autograd, k = 1, 2, 4, ∞", deviation(pairs)),
            Check("the matrices' gradients from it = autograd", deviation(gradients)),
            Check("the same = the compiled pass that trains", deviation(compiled)),
        ],
        judge(worst(written) < 1e-10, Verdict.CORRECTED),
        "right for a loss that does not read h[T] itself; one that does adds its own term, here "
        f"up to {worst(written):.3g}; and in AttentionRNN(k) the sum stops at t = T + k",
    )


def _cell(lags: int) -> Cell:
    return cell("model=attn_rnn", f"model.lags={lags}")


def _cases() -> Iterator[tuple[int, Params, list[Tensor], list[Tensor]]]:
    """Yield lags, matrices, inputs, and states from h[t-1] back."""
    for lags in LAGS:
        for seed in range(CASES):
            params = random_weights(_cell(lags), seed)
            yield lags, params, random_sequence(100 + seed), random_sequence(200 + seed, HIDDEN)


def _example_of_e() -> tuple[str, str]:
    params, x, h = random_weights(_cell(2), 0), random_sequence(100), random_sequence(200, HIDDEN)
    now = attention_rnn.step(params, [x[0], *h[:2]])
    right = attention_rnn.state_jacobian(params, now, 1)
    written = attention_rnn.state_jacobian_of_the_write_up(params, now, 1)
    scores = ", ".join(f"{value:.3f}" for value in now.scores)
    return (
        f"an example: w = ({scores}), Σw = {now.scores.sum():.3f}",
        f"its upper left element: right {right[0, 0]:.4f}, the write-up's {written[0, 0]:.4f}",
    )


def _endless_totals() -> list[tuple[Tensor, Tensor]]:
    of, pairs = cell("model=attn_rnn_inf"), Pairs()
    for seed in range(CASES):
        params, x, own = random_weights(of, seed), random_sequence(seed), random_sequence(9, HIDDEN)
        steps = attention_rnn.run_endless(params, x)
        mine = attention_rnn.backward(attention_rnn.shared(params, STEPS), steps, own)
        pairs += zip(mine, total_derivatives(of, params, x, own), strict=True)
    return pairs


def _gradients(params: Params, x: list[Tensor], delta: Tensor) -> Params:
    """Return the closed form's gradients of AttentionRNN(k), for a loss on the last state only."""
    lags = max(int(name[2:]) for name in params)
    steps = attention_rnn.run(params, x, lags)
    own = [torch.zeros_like(delta)] * (len(x) - 1) + [delta]
    totals = attention_rnn.backward(params, steps, own, lags)
    return attention_rnn.weight_gradients(params, steps, totals)


def _weight_gradients(lags: int, params: Params, x: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    free, delta = leaves(params), torch.ones(HIDDEN, dtype=x[0].dtype)
    judged = torch.autograd.grad(states(_cell(lags), free, x)[-1], list(free.values()), delta)
    mine = _gradients(params, x, delta)
    return [(mine[name], other) for name, other in zip(free, judged, strict=True)]
