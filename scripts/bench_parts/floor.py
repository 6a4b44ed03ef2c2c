"""Compare the time of our training step with that of its arithmetic alone."""

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from bench_parts.measure import Contender, alone, contest, one_core, row, spread, table
from bench_parts.programs import our_steps
from hw2exp.kernels.lanes import WIDTH, fma, load, store

B, H, K, T = 32, 16, 2, 41
"""Batch size, hidden units, lags, time steps: the defaults on NORMAL."""

WIDTHS = {"gated_rnn": H, "attn_rnn": 3 * K * H}
"""Rows of the matrix that multiplies a state, by model."""

FUNCTIONS = {"gated_rnn": ("sigmoids", H), "attn_rnn": ("exponentials", 1 + K)}
"""The transcendental function of a model, and its calls per sequence and time step."""


def main(quick: bool) -> None:
    sizes = (1, 16) if quick else (1, 8, 16, 32, 64)
    print(
        "The floor of a replica's step: T = 41 time steps, each with a forward product (W h) and "
        "two backward ones (Wᵀ g, and g hᵀ for the gradient of W), 2·B·H·W operations each for a "
        "matrix of W rows; and the sigmoids or exponentials. The input's products count as free "
        "(look-ups), and so does everything else.\n"
    )
    with one_core():
        peak = alone(peak_rate)
        print(f"Peak of fused multiply-adds in registers: {peak / 1e9:.0f} GFLOP/s.\n")
        for model in WIDTHS:
            compare(model, sizes, 3 if quick else 15, peak)
            print()


def compare(model: str, sizes: tuple[int, ...], rounds: int, peak: float) -> None:
    """Measure the rates of the arithmetic, then our step at every R."""
    width, (function, count) = WIDTHS[model], FUNCTIONS[model]
    products, functions = alone(product_rate, width), alone(function_rate, function)
    operations = T * 3 * 2 * B * H * width
    seconds = operations / products + T * B * count / functions
    print(
        f"{model}: {3 * T} products at {products / 1e9:.1f} GFLOP/s and {T * B * count} {function} "
        f"at {functions / 1e6:.0f} million/s are {seconds * 1e6:.1f} µs, so at most "
        f"{1 / seconds:.0f} replica-steps/s.\n"
    )
    mine = [Contender(our_steps, model, size) for size in sizes]
    contest(mine, rounds)
    share_of_floor = "share of the floor's speed, median (quartiles)"
    table("R", "replica-steps/s", share_of_floor, "products' share of the peak")
    for size, contender in zip(sizes, mine, strict=True):
        speeds = sorted(contender.speeds)
        share = [speed * seconds for speed in speeds]
        of_peak = [speed * operations / peak for speed in speeds]
        row(size, f"{speeds[len(speeds) // 2]:.0f}", spread(share, 3), spread(of_peak))


def peak_rate() -> float:
    """Measure the operations per second of fused multiply-adds on numbers in registers."""
    numbers, times = np.full((10, WIDTH), 0.5, np.float32), 10_000
    return 2 * 8 * WIDTH * times / fastest(lambda: multiply_add(numbers, times))


@numba.njit  # type: ignore[misc]
def multiply_add(numbers: Any, times: Any) -> None:
    """Repeat a[i] = a[i] m + c in eight independent chains; the last two rows are m and c."""
    a, b, c, d = load(numbers, 0), load(numbers, 1), load(numbers, 2), load(numbers, 3)
    e, f, g, h = load(numbers, 4), load(numbers, 5), load(numbers, 6), load(numbers, 7)
    m, n = load(numbers, 8), load(numbers, 9)
    for _ in range(times):
        a, b, c, d = fma(a, m, n), fma(b, m, n), fma(c, m, n), fma(d, m, n)
        e, f, g, h = fma(e, m, n), fma(f, m, n), fma(g, m, n), fma(h, m, n)
    store(numbers, 0, a)
    store(numbers, 1, b)
    store(numbers, 2, c)
    store(numbers, 3, d)
    store(numbers, 4, e)
    store(numbers, 5, f)
    store(numbers, 6, g)
    store(numbers, 7, h)


def product_rate(width: int) -> float:
    """Measure the operations per second of the three batched products, each in its best form."""
    torch.set_num_threads(1)
    at_once = product_seconds(width, T * B, H, repeats=20) / T  # the gradient of W for all t
    times = (
        product_seconds(B, H, width),
        product_seconds(B, width, H),
        min(product_seconds(width, B, H), at_once),
    )
    return 3 * 2 * B * H * width / sum(times)


def product_seconds(m: int, k: int, n: int, repeats: int = 200) -> float:
    """Measure a replica's share of a batched product (m, k) × (k, n), at the best layout and R."""
    return min(
        fastest(lambda a=a, b=b, out=out: torch.bmm(a, b, out=out), repeats) / replicas
        for replicas in (8, 16, 32, 64)
        for a, b, out in layouts(replicas, m, k, n)
    )


def layouts(replicas: int, m: int, k: int, n: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return operands and results of (m, k) × (k, n): factors stored either way, or transposed."""
    shapes = [(m, k, n), (n, k, m)]
    return [
        (left, right, torch.empty(replicas, rows, columns))
        for rows, inner, columns in shapes
        for left in (torch.randn(replicas, rows, inner), torch.randn(replicas, inner, rows).mT)
        for right in (
            torch.randn(replicas, inner, columns),
            torch.randn(replicas, columns, inner).mT,
        )
    ]


def function_rate(name: str) -> float:
    """Measure the values per second of a function, on tensors that fit into the cache."""
    torch.set_num_threads(1)
    function = {"sigmoids": torch.sigmoid, "exponentials": torch.exp}[name]
    rates = []
    for size in (4096, 16384, 65536):
        x, out = torch.randn(size), torch.empty(size)
        rates.append(size / fastest(lambda x=x, out=out: function(x, out=out)))
    return max(rates)


def fastest(work: Callable[[], object], repeats: int = 200, tries: int = 5) -> float:
    """Measure the seconds of one call, the best of several tries."""
    times = []
    for _ in range(tries):
        began = time.process_time()
        for _ in range(repeats):
            work()
        times.append((time.process_time() - began) / repeats)
    return min(times)
