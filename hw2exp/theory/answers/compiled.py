"""Compare the theory's gradients with those of the compiled pass that the bench trains with."""

from collections.abc import Callable

import torch
from torch import Tensor

from hw2exp.kernels.forms import form_of
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.models.axes import Params
from hw2exp.tasks.temporal_order import CLASSES, PAD
from hw2exp.theory.answers.cells import HIDDEN, STEPS, cell, random_weights
from hw2exp.theory.answers.deviation import DTYPE, leaves

Gradients = Callable[[Params, list[Tensor], Tensor], Params]
"""A function from matrices, inputs x[1] … x[T] and ∂ℓ/∂h[T] to the gradients by the matrices."""


def compiled_gradients(model: str, gradients: Gradients) -> list[tuple[Tensor, Tensor]]:
    """Return the theory's and the compiled gradient by every matrix, on a random sequence."""
    of = cell(model)
    params = random_weights(of, 3)
    generator = torch.Generator().manual_seed(5)
    symbols = torch.randint(0, PAD, (STEPS,), generator=generator, dtype=torch.uint8)
    label = torch.tensor(1, dtype=torch.uint8)
    readout = torch.randn(len(CLASSES), HIDDEN, dtype=DTYPE, generator=generator)

    form = form_of(of.options)
    assert form is not None
    loss = SequenceLoss(form, HIDDEN, PAD, getattr(of.options, "lags", 1))
    loss.keeps_state_gradients = True
    free = leaves(params)
    fleet = {name: value[None] for name, value in free.items()}
    fleet |= {"readout_weight": readout[None], "readout_bias": readout.new_zeros(1, len(CLASSES))}
    mean, _ = loss.mean(fleet, symbols[None, None], label[None, None])
    judged = torch.autograd.grad(mean.sum(), list(free.values()))
    assert loss.state_gradients is not None
    upstream = loss.state_gradients[0, 0, -1]
    x = list(torch.eye(PAD, dtype=DTYPE)[symbols.long()])
    mine = gradients(params, x, upstream)
    return [(mine[name], other) for name, other in zip(free, judged, strict=True)]
