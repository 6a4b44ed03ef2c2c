"""Answer part 1.1: convolutional networks."""

import math
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hw2exp.theory import convolution
from hw2exp.theory.answer import Answer, Check, Verdict, judge
from hw2exp.theory.answers.deviation import DTYPE, deviation, jacobians

SIZES = 500
"""The number of random convolutions whose output sizes are compared."""
CASES = 40
"""The number of random one-dimensional convolutions whose values and derivatives are compared."""

CHANNELS, LENGTH, KERNEL, STRIDE = 5, 7, 3, 2
"""The one-dimensional convolution of part (c)."""


def a() -> Answer:
    """Answer (a): the size of one output."""
    exact = [Fraction(size - kernel, 4) + 1 for size, kernel in ((11, 5), (21, 4))]
    down = list(convolution.output_shape((1, 11, 21), 1, (5, 4), stride=4)[1:])
    judged = list(_torch_shape(1, 1, (11, 21), (5, 4), {"stride": 4})[1:])
    up = [math.ceil(value) for value in exact]
    return Answer(
        "1.1 (a)",
        "Output of an 11×21 input under a 5×4 kernel, stride 4",
        "H = (11 − 5)/4 + 1 = 2.5, W = (21 − 4)/4 + 1 = 5.25; “after rounding up” 2×5",
        "⌊2.5⌋ × ⌊5.25⌋: a last window that would reach beyond the input does not count",
        [Check("the formula = torch.nn.Conv2d", float(down != judged), 0)],
        judge(up == judged, Verdict.CORRECTED),
        f"2×5 is right, “up” is not: rounding up gives {up[0]}×{up[1]}",
        [f"exact {exact[0]} × {exact[1]}; down {down[0]}×{down[1]}; torch {judged[0]}×{judged[1]}"],
    )


def b() -> Answer:
    """Answer (b): the size of any output."""
    rng, wrong, fractions, example = random.Random(11), 0, 0, ""
    for _ in range(SIZES):
        sizes, kernel, options = _random_convolution(rng)
        channels, filters = rng.randint(1, 4), rng.randint(1, 4)
        mine = convolution.output_shape((channels, *sizes), filters, kernel, **options)
        judged = _torch_shape(channels, filters, sizes, kernel, options)
        wrong += mine != judged
        exact = [_without_floor(size, kernel, **options) for size in sizes]
        if tuple(exact) != judged[1:]:
            fractions += 1
            example = example or (
                f"H = {sizes[0]}, W = {sizes[1]}, K = {kernel}, P = {options['padding']}, "
                f"S = {options['stride']}, D = {options['dilation']} would give {exact[0]} × "
                f"{exact[1]}, right is {judged[1]} × {judged[2]}"
            )
    return Answer(
        "1.1 (b)",
        "Output of a C×H×W input under F kernels of size K, padding P, stride S, dilation D",
        "F × H_out × W_out with H_out = (H + 2P − D(K − 1) − 1)/S + 1, W_out alike",
        "H_out = ⌊(H + 2P − D(K − 1) − 1)/S⌋ + 1",
        [Check(f"the formula = torch.nn.Conv2d, {SIZES} random convolutions, misses", wrong, 0)],
        judge(not fractions, Verdict.CORRECTED),
        f"the floor is missing, and matters in {fractions} of {SIZES} cases: {example}",
    )


def c_i() -> Answer:
    """Answer (c) (i): the one-dimensional convolution."""
    W, x = _of_part_c()
    pairs = [
        (convolution.forward(W, x, stride), functional.conv1d(x[None], W, stride=stride)[0])
        for W, x, stride in _random_cases()
    ]
    result = convolution.forward(W, x, STRIDE)
    literal = torch.zeros(1, 3, dtype=DTYPE)
    for i in range(3):
        for m in range(CHANNELS):
            for n in range(KERNEL):
                literal[0, i] += W[0, m, n] * x[m, i * 2 + n]
    stands = deviation([(literal, functional.conv1d(x[None], W, stride=STRIDE)[0])]) < 1e-12
    return Answer(
        "1.1 (c) (i)",
        "f_W(x) for x ∈ R^{5×7}, W ∈ R^{1×5×3}, stride 2",
        "f ∈ R^{1×3}, f[0, i] = Σ_m Σ_n W[0, m, n] x[m, 2i + n]",
        "f_W(x)[o, i] = Σ_m Σ_n W[o, m, n] x[m, S i + n]",
        [
            Check(
                f"the formula = torch's conv1d, {CASES} random sizes and strides", deviation(pairs)
            )
        ],
        judge(stands, Verdict.FALSE),
        "term by term as it is written, it is torch's",
        [f"f ∈ R^{{{result.shape[0]}×{result.shape[1]}}}"],
    )


def c_ii() -> Answer:
    """Answer (c) (ii): the derivative by the weights."""
    pairs = []
    for W, x, stride in _random_cases():
        (judged,) = jacobians(lambda W, x=x, s=stride: _conv1d(W, x, s), [W])
        pairs.append((convolution.weight_jacobian(W, x, stride), judged))
    W, x = _of_part_c()
    right = convolution.weight_jacobian(W, x, STRIDE).reshape(3, 15)
    outside = agree = 0
    for i in range(3):
        for j in range(15):
            row, column = j % 3 + 2 * i, j // 3
            outside += row >= CHANNELS
            agree += row < CHANNELS and bool(x[row, column] == right[i, j])
    transposed = torch.stack(
        [torch.stack([x[j // 3, j % 3 + 2 * i] for j in range(15)]) for i in range(3)]
    )
    return Answer(
        "1.1 (c) (ii)",
        "∂f/∂W",
        "∈ R^{1×3×15}, [0, i, j] = x[j % 3 + 2i, j // 3]",
        "[0, i, j] = x[j // 3, j % 3 + 2i]: row j // 3 of x, its element j % 3 of window i",
        [
            Check(f"closed form = torch's Jacobian, {CASES} random sizes", deviation(pairs)),
            Check("[0, i, j] = x[j // 3, j % 3 + 2i]", deviation([(transposed, right)])),
        ],
        judge(agree == 45, Verdict.CORRECTED),
        f"its indices are transposed: of 45 entries {outside} lie outside x, {agree} agree",
    )


def c_iii() -> Answer:
    """Answer (c) (iii): the derivative by the input."""
    pairs = []
    for W, x, stride in _random_cases():
        (judged,) = jacobians(lambda x, W=W, s=stride: _conv1d(W, x, s), [x])
        pairs.append((convolution.input_jacobian(W, x, stride), judged))
    W, x = _of_part_c()
    right = convolution.input_jacobian(W, x, STRIDE)[0]  # (3, 5, 7)
    side_by_side = right.permute(1, 0, 2).reshape(5, 21)
    columns = [p for p in range(21) if bool(side_by_side[:, p].any())]
    placed = torch.zeros_like(side_by_side)
    for i in range(3):
        placed[:, 9 * i : 9 * i + 3] = W[0]
    written = sorted({7 * m * 3 * n for m in range(3) for n in range(3)})
    return Answer(
        "1.1 (c) (iii)",
        "∂f/∂x",
        "∈ R^{5×21}, [i, 7m × 3n] = W[0, i, n], the rest 0",
        "∂f[0, i]/∂x[m, p] = W[0, m, p − 2i] for 0 ≤ p − 2i ≤ 2, else 0; "
        "as 5×21, three blocks side by side, [m, 9i + n] = W[0, m, n]",
        [
            Check(f"closed form = torch's Jacobian, {CASES} random sizes", deviation(pairs)),
            Check("the 5×21 layout, columns 9i + n", deviation([(placed, side_by_side)])),
        ],
        judge(written == columns, Verdict.CORRECTED),
        f"the columns that aren't zero are {_list(columns)}; 7m × 3n gives {_list(written)}, "
        "of a matrix with 21",
    )


def c_iv() -> Answer:
    """Answer (c) (iv): the derivative of the loss by the weights."""
    pairs = []
    for W, x, stride in _random_cases():
        upstream = torch.randn(_conv1d(W, x, stride).shape, dtype=DTYPE, generator=_generator(3))
        free = W.clone().requires_grad_()
        (judged,) = torch.autograd.grad(_conv1d(free, x, stride), free, upstream)
        pairs.append((convolution.weight_gradient(W, x, stride, upstream), judged))
    W, x = _of_part_c()
    upstream = torch.randn(1, 3, dtype=DTYPE, generator=_generator(4))
    literal = torch.stack(
        [sum((upstream[0, n] * x[i // 3, i % 3 + 2 * n] for n in range(3)), x.new_zeros(()))
         for i in range(15)]
    )  # fmt: skip
    free = W.clone().requires_grad_()
    (right,) = torch.autograd.grad(_conv1d(free, x, STRIDE), free, upstream)
    return Answer(
        "1.1 (c) (iv)",
        "∂ℓ/∂W",
        "∈ R^{1×15}, [0, i] = Σ_n ∂ℓ/∂f[0, n] x[i // 3, i % 3 + 2n]; like (i) a sum from 0 to 2 "
        "with an index a + 2b, of another total dimension",
        "∂ℓ/∂W[o, m, n] = Σ_i ∂ℓ/∂f[o, i] x[m, S i + n]",
        [Check(f"closed form = autograd, {CASES} random sizes and strides", deviation(pairs))],
        judge(deviation([(literal, right.flatten())]) < 1e-12, Verdict.FALSE),
        "as it is written it is ∂ℓ/∂f · ∂f/∂W, with the ∂f/∂W that is right, not that of (ii). The "
        "comparison with (i) leaves out its second sum, over m from 0 to 4",
    )


def _list(columns: list[int]) -> str:
    return ", ".join(map(str, columns))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _of_part_c() -> tuple[Tensor, Tensor]:
    generator = _generator(1)
    W = torch.randn(1, CHANNELS, KERNEL, dtype=DTYPE, generator=generator)
    return W, torch.randn(CHANNELS, LENGTH, dtype=DTYPE, generator=generator)


def _random_cases() -> Iterator[tuple[Tensor, Tensor, int]]:
    rng, generator = random.Random(7), _generator(7)
    for _ in range(CASES):
        filters, channels, kernel = rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 4)
        length = kernel + rng.randint(0, 6)
        W = torch.randn(filters, channels, kernel, dtype=DTYPE, generator=generator)
        x = torch.randn(channels, length, dtype=DTYPE, generator=generator)
        yield W, x, rng.randint(1, 4)


def _conv1d(W: Tensor, x: Tensor, stride: int) -> Tensor:
    return functional.conv1d(x[None], W, stride=stride)[0]


def _without_floor(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Fraction:
    return Fraction(size + 2 * padding - dilation * (kernel - 1) - 1, stride) + 1


def _random_convolution(rng: random.Random) -> tuple[tuple[int, int], int, dict[str, int]]:
    kernel = rng.randint(1, 6)
    options = {name: rng.randint(low, 4) for name, low in (("stride", 1), ("padding", 0))}
    options["dilation"] = rng.randint(1, 4)
    least = max(1, options["dilation"] * (kernel - 1) + 1 - 2 * options["padding"])
    return (least + rng.randint(0, 20), least + rng.randint(0, 20)), kernel, options


def _torch_shape(
    channels: int,
    filters: int,
    sizes: tuple[int, int],
    kernel: convolution.Pair,
    options: dict[str, Any],
) -> tuple[int, ...]:
    layer = nn.Conv2d(channels, filters, kernel, device="meta", **options)
    return tuple(layer(torch.empty(channels, *sizes, device="meta")).shape)
