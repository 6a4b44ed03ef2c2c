"""Draw the initial parameters: a pure function of the seed and the ``init`` section."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw2exp.config.schema import Init
from hw2exp.models import random_matrices
from hw2exp.models.axes import Params, Shape
from hw2exp.models.cell import Weight

WORD = 2**32
"""Smaller seeds fit in the 32 bits that ``torch.Generator.manual_seed`` uses."""
STATE = slice(24, 24 + 624 * 8)
"""Bytes of torch's generator state with MT19937's 624 words, 64 bits each."""


def initialize(weights: dict[str, Weight], init: Sequence[Init], seeds: Sequence[int]) -> Params:
    """Draw the parameters of every replica.

    A replica's parameters depend only on its own seed and ``init`` section. With torch's defaults
    and a seed below 2³² they equal, bit for bit, those of torch's modules built after
    ``torch.manual_seed(seed)``: the same generator draws in the same order.

    Args:
        weights: the model's parameters by name, in the order of the random draws.
        init: the ``init`` section of each replica, length R.
        seeds: the seed of each replica, length R.

    Returns:
        Parameters by name, ``(R, *shape)`` in float32, on the CPU.
    """
    known: dict[tuple[object, ...], Params] = {}  # replicas of a map differ in scales alone
    replicas = []
    for own, seed in zip(init, seeds, strict=True):
        key = seed, own.input, own.recurrent, own.readout, own.bias
        if key not in known:
            known[key] = _draw_all(weights, own, seed)
        replicas.append(_scaled(weights, own, known[key]))
    return {name: torch.stack([scaled[name] for scaled in replicas]) for name in weights}


def seeded(seed: int) -> torch.Generator:
    """Return a torch generator on the CPU, seeded with all 64 bits of a seed.

    ``manual_seed`` drops the upper 32 bits. If they are not zero, MT19937 starts from an array of
    both words instead, with its authors' method (Matsumoto & Nishimura 2002, ``init_by_array``).

    Args:
        seed: a seed below 2⁶⁴; below 2³² the generator equals that of ``manual_seed``.
    """
    generator = torch.Generator().manual_seed(seed)
    if seed >= WORD:
        words = np.random.RandomState([seed % WORD, seed // WORD]).get_state(legacy=False)
        state = generator.get_state()
        own = words["state"]["key"].astype(np.uint64)
        state[STATE] = torch.from_numpy(own).view(torch.uint8)
        generator.set_state(state)
    return generator


def _draw_all(weights: dict[str, Weight], init: Init, seed: int) -> Params:
    generator = seeded(seed)
    drawn: Params = {}
    for name, weight in weights.items():
        kind = _kind_and_scale(weight, init)[0]
        if kind == "torch" and weight.draw is not None:
            drawn[name] = weight.draw(drawn, generator)
        else:
            drawn[name] = _draw(weight, kind, generator)
    return drawn


def _scaled(weights: dict[str, Weight], init: Init, drawn: Params) -> Params:
    scaled = {}
    for name, weight in weights.items():
        scaled[name] = drawn[name] * _kind_and_scale(weight, init)[1]
        if weight.forget is not None and init.forget_bias:
            scaled[name][weight.forget] += init.forget_bias
    return scaled


def _kind_and_scale(weight: Weight, init: Init) -> tuple[str, float]:
    match weight.role:
        case "input":
            return init.input, init.input_scale
        case "recurrent":
            return init.recurrent, init.scale
        case "readout":
            return init.readout, init.readout_scale
        case "readout_bias":  # a vector can't be orthogonal
            return "zeros" if init.readout == "zeros" else init.bias, init.readout_scale
        case "bias":
            return init.bias, 1.0
        case "own":
            return "torch", 1.0


def _draw(weight: Weight, kind: str, generator: torch.Generator) -> Tensor:
    if kind == "torch":
        return _uniform(weight.shape, weight.bound, generator)
    value = torch.zeros(weight.shape)
    if kind == "normal":
        value[:] = random_matrices.normal(weight.shape, generator)
    elif kind in ("orthogonal", "sparse"):
        for block in value.chunk(weight.blocks):
            block[:] = getattr(random_matrices, kind)(tuple(block.shape), generator)
    return value


def _uniform(shape: Shape, bound: float, generator: torch.Generator) -> Tensor:
    """Draw from U(-bound, bound) like ``torch.nn.init.uniform_`` on a CPU with AVX2 or later.

    There torch computes r · 2 bound - bound with one rounding, on older CPUs with two; r has 24
    bits. In float64 both operations are exact, so that only the last conversion rounds.
    """
    half = torch.tensor(bound).double()  # rounded to float32 first, as torch does
    return (torch.rand(shape, generator=generator).double() * (2 * half) - half).float()
