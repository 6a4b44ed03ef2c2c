"""Answer part 1.2.1: the gated RNN."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from hw2exp.diagnostics.gradient_reach import state_jacobians
from hw2exp.models.axes import Params
from hw2exp.theory import gated_rnn
from hw2exp.theory.answer import Answer, Check, Verdict, judge
from hw2exp.theory.answers.cells import (
    HIDDEN,
    STEPS,
    cell,
    compiled_gradients,
    gated_step,
    random_sequence,
    random_weights,
    states,
)
from hw2exp.theory.answers.deviation import Pairs, deviation, jacobians, leaves, worst
from hw2exp.theory.diagram import gated_rnn as figure_1
from hw2exp.theory.drawing import draw

CASES = 10


def a() -> Answer:
    """Answer (a): figure 1."""
    diagram, of = figure_1(), cell("model=gated_rnn")
    pairs = []
    for params, x, h in _cases():
        pairs.append(
            (diagram.run(params, {"x": x[0], "h[t-1]": h[0]}), gated_step(params, x[0], h[0]))
        )
    missing = diagram.matrices() ^ set(of.weights())
    return Answer(
        "1.2.1 (a)",
        "A diagram of the gated RNN: c[t] = σ(W_c x[t] + W_h h[t−1]), "
        "h[t] = c[t] ⊙ h[t−1] + (1 − c[t]) ⊙ W_x x[t]",
        "Figure 1",
        "gated_rnn.svg of --figures, from a list of nodes and arrows that can also be run",
        [
            Check("the diagram, run = the cell that trains", deviation(pairs)),
            Check("its arrows carry the cell's matrices, misses", len(missing), 0),
        ],
        judge(deviation(pairs) < 1e-10, Verdict.FALSE),
        "what is drawn computes h[t]",
        ["matrices on the arrows: " + ", ".join(sorted(diagram.matrices()))],
        figures={"gated_rnn.svg": partial(draw, figure_1())},
    )


def b() -> Answer:
    """Answer (b): the size of the gate."""
    pairs = []
    for params, x, h in _cases():
        c = gated_rnn.step(params, x[0], h[0]).gate
        candidate = params["W_x"] @ x[0]
        # The share of h[t-1] that the bench's cell keeps: its equation, solved for the gate.
        kept = (gated_step(params, x[0], h[0]) - candidate) / (h[0] - candidate)
        pairs.append((c, kept))
    return Answer(
        "1.2.1 (b)",
        "The size of c[t]",
        "c[t] ∈ R^m",
        "c[t] ∈ (0, 1)^m, m the size of h[t]",
        [Check("c[t] = the share of h[t−1] that the cell that trains keeps", deviation(pairs))],
        judge(c.shape == h[0].shape and bool(((c > 0) & (c < 1)).all()), Verdict.FALSE),
        "it multiplies h[t−1] element by element",
        [f"m = {HIDDEN}: c[t] has {len(c)} elements, from {c.min():.3f} to {c.max():.3f}"],
    )


def c() -> Answer:
    """Answer (c): the gradients."""
    single, jacobian, through_time = [], [], []
    missed = []
    for params, x, h in _cases():
        delta = torch.ones_like(h[0])
        of_weights, of_x = gated_rnn.backward(params, gated_rnn.step(params, x[0], h[0]), delta)
        single += _against_autograd(params, x[0], h[0], delta, of_weights, of_x)
        (judged,) = jacobians(lambda h, p=params, x=x: gated_step(p, x[0], h), [h[0]])
        jacobian.append(
            (gated_rnn.state_jacobian(params, gated_rnn.step(params, x[0], h[0])), judged)
        )
        pairs, last = _through_time(params, x)
        through_time += pairs
        missed.append(last)
    compiled = compiled_gradients("model=gated_rnn", _gradients)
    return Answer(
        "1.2.1 (c)",
        "∂ℓ/∂W_x from ∂ℓ/∂h[t], and what goes in on the way forward and back",
        "∂ℓ/∂W_x = ((1 − c[t]) ⊙ ∂ℓ/∂h[t]) x[t]ᵀ ∈ R^{m×n}; forward and backward part take x and h",
        "∂ℓ/∂W_x = Σ_t ((1 − c[t]) ⊙ δ[t]) x[t]ᵀ\n"
        "∂ℓ/∂W_c = Σ_t ζ[t] x[t]ᵀ, ∂ℓ/∂W_h = Σ_t ζ[t] h[t−1]ᵀ\n"
        "∂ℓ/∂x[t] = W_xᵀ((1 − c[t]) ⊙ δ[t]) + W_cᵀ ζ[t]\n"
        "with the total derivative δ[t] = ∂ℓ/∂h[t], δ[t−1] = c[t] ⊙ δ[t] + W_hᵀ ζ[t], and the "
        "derivative by the sigmoid's argument "
        "ζ[t] = δ[t] ⊙ (h[t−1] − W_x x[t]) ⊙ c[t] ⊙ (1 − c[t])",
        [
            Check("one step, by W_x, W_c, W_h, x = autograd", deviation(single)),
            Check("∂h[t]/∂h[t−1] as a matrix = torch's Jacobian", deviation(jacobian)),
            Check(f"through {STEPS} steps = autograd", deviation(through_time)),
            Check("through time = the compiled pass that trains", deviation(compiled)),
        ],
        judge(worst(missed) < 1e-10, Verdict.CORRECTED),
        f"it is one step's part; of the gradient over {STEPS} steps the last step's part alone "
        f"misses up to {100 * worst(missed):.0f} %. Both parts do take x[t] and h[t−1], the "
        "backward one c[t] and δ[t] as well",
    )


def _cases() -> Iterator[tuple[Params, list[Tensor], list[Tensor]]]:
    """Yield matrices, inputs and states."""
    of = cell("model=gated_rnn")
    for seed in range(CASES):
        yield (
            random_weights(of, seed),
            random_sequence(100 + seed),
            random_sequence(200 + seed, HIDDEN),
        )


def _against_autograd(
    params: Params, x: Tensor, h: Tensor, delta: Tensor, of_weights: Params, of_x: Tensor
) -> list[tuple[Tensor, Tensor]]:
    free, x = leaves(params), x.clone().requires_grad_()
    after = gated_step(free, x, h)
    *judged, judged_x = torch.autograd.grad(after, [*free.values(), x], delta)
    return [*zip((of_weights[name] for name in free), judged, strict=True), (of_x, judged_x)]


def _gradients(params: Params, x: list[Tensor], delta: Tensor) -> Params:
    """Return the closed form's gradients over a sequence."""
    return gated_rnn.backward_through_time(params, _run(params, x), delta)[0]


def _run(params: Params, x: list[Tensor]) -> list[gated_rnn.Step]:
    steps, h = [], x[0].new_zeros(HIDDEN)
    for x_t in x:
        steps.append(gated_rnn.step(params, x_t, h))
        h = steps[-1].after
    return steps


def _through_time(params: Params, x: list[Tensor]) -> tuple[list[tuple[Tensor, Tensor]], float]:
    """Return gradients by closed form and autograd, and the last step's relative error in ∂ℓ/∂W_x.

    The last step's part alone is the write-up's formula.
    """
    steps, delta = _run(params, x), torch.ones(HIDDEN, dtype=x[0].dtype)
    of_weights, of_inputs = gated_rnn.backward_through_time(params, steps, delta)
    free, inputs = leaves(params), [x_t.clone().requires_grad_() for x_t in x]
    last = states(cell("model=gated_rnn"), free, inputs)[-1]
    judged = torch.autograd.grad(last, [*free.values(), *inputs], delta)
    pairs = list(zip([*(of_weights[name] for name in free), *of_inputs], judged, strict=True))
    whole = judged[list(free).index("W_x")]
    written = torch.outer((1 - steps[-1].gate) * delta, x[-1])
    return pairs, float((whole - written).norm() / whole.norm())


def chained_jacobians() -> Pairs:
    """Return ∂h[T]/∂h[t] for all t, as products of closed-form steps and by the diagnostic."""
    of, pairs = cell("model=gated_rnn"), Pairs()
    for params, x, _ in _cases():
        fleet = {name: value[None] for name, value in params.items()}
        judged = state_jacobians(of, fleet, torch.stack(x)[None, :, None])[0, 0]  # (T-1, H, H)
        total, products = torch.eye(HIDDEN, dtype=x[0].dtype), []
        for now in reversed(_run(params, x)[1:]):
            total = total @ gated_rnn.state_jacobian(params, now)
            products.append(total)
        pairs.append((torch.stack(products[::-1]), judged))
    return pairs
