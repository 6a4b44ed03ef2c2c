"""Choices of your own, one through each door.

    python -m hw2exp.train --import my_choices model=my_mingru norm=rms task=first_letter \
        optimizer=my_lion clip=tensor_norm regularizer=smoothing schedule=linear_to metric=angle

R is the replica axis, the runs of a fleet; B the batch, T time, H the state's size, C the classes.
Nothing is ever summed over R. A knob is a tensor (R,) if its runs may differ in it.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from hw2exp import (
    Cell,
    Clip,
    Metric,
    Norm,
    Optimizer,
    Regularizer,
    Schedule,
    Task,
    columns,
    generators,
    linear,
    norms,
    per_replica,
    product,
    register_cell,
    register_clip,
    register_metric,
    register_norm,
    register_optimizer,
    register_regularizer,
    register_schedule,
    register_task,
    rescale,
    shared,
)
from hw2exp.models.normalization.protocol import Features, GainPass, gains_of
from hw2exp.models.normalization.protocol import rescale as with_gain


@register_cell("my_mingru", keep=1.0)
class MinGRU(Cell):
    """minGRU (Feng et al. 2024): h[t] = (1 - z) h[t-1] + z W_h x[t],  z = σ(W_z x[t] - keep)."""

    keep: Annotated[float, shared("subtracted from the gate's argument", ge=0, le=10)]

    def weights(self):
        return {name: linear(self.hidden_size, self.input_size, "input") for name in ("W_z", "W_h")}

    def terms(self):  # what a norm may act on
        return {name: Features((self.hidden_size,)) for name in self.weights()}

    def project(self, params, x, norm):  # x is (R, T, B, I): all time steps at once
        gate, new = (norm(name, product(params[name], x)) for name in ("W_z", "W_h"))
        argument = gate - self.options.keep  # a cell is no dataclass
        z = (1 + torch.tanh(argument / 2)) / 2  # torch.sigmoid would round differently in a fleet
        return 1 - z, z * new

    def start(self, params, zeros):
        return (zeros,)

    def step(self, params, inputs, carry, norm):
        (kept, added), (h,) = inputs, carry  # each (R, B, H)
        h = kept * h + added
        return h, (h,)


@register_norm("rms", gamma=0.3, eps=1e-5)
@dataclass(frozen=True)
class RMSNorm(Norm):
    """Each term is divided by its root mean square, times a gain (Zhang & Sennrich 2019)."""

    gamma: Annotated[Tensor, per_replica("gain at the start", gt=0)]
    eps: Annotated[Tensor, per_replica("added to the mean square", gt=0)]

    def gains(self, terms):
        return gains_of(terms, self.gamma)

    def forward(self, params, terms, statistics=None):
        return RMSPass(self.eps, params, terms)


class RMSPass(GainPass):
    """One pass through the norm."""

    def __call__(self, term, value):  # (R, ..., H)
        size = (value.square().mean(-1, keepdim=True) + columns(self.eps, value)).rsqrt()
        return with_gain(self.params, term, value * size, self.axes(term))


@register_optimizer("my_lion", lr=0.001, beta1=0.9, beta2=0.99)
@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion (Chen et al. 2023): θ = θ - lr (sign(β₁ m + (1-β₁) g) + w θ);  m = β₂ m + (1-β₂) g."""

    beta1: Annotated[Tensor, per_replica("decay in the update", ge=0, lt=1)]
    beta2: Annotated[Tensor, per_replica("decay of the mean of gradients", ge=0, lt=1)]

    def init(self, params):
        return {name: torch.zeros_like(p) for name, p in params.items()}

    def update(self, params, grads, state, lr):
        moved, means = {}, {}
        for name, p in params.items():  # each (R, ...)
            g, m = grads[name], state[name]
            beta1, beta2 = columns(self.beta1, p), columns(self.beta2, p)
            step = (beta1 * m + (1 - beta1) * g).sign() + columns(self.weight_decay, p) * p
            moved[name] = p - columns(lr, p) * step
            means[name] = beta2 * m + (1 - beta2) * g
        return moved, means


@register_clip("tensor_norm", max_norm=1.0)
@dataclass(frozen=True)
class ClipEachTensor(Clip):
    """Clipping of each tensor of parameters by its own norm."""

    max_norm: Annotated[Tensor, per_replica("largest norm of one tensor's gradient", gt=0)]

    def update(self, grads, params, grad_norm, state):
        clipped = {
            name: rescale(g, norms(g.flatten(1)), self.max_norm) for name, g in grads.items()
        }
        return clipped, state


@register_regularizer("smoothing", share=0.1)
@dataclass(frozen=True)
class Smoothing(Regularizer):
    """Label smoothing: the loss of a label that is uniform to some share."""

    share: Annotated[Tensor, per_replica("share of the uniform label", ge=0, le=1)]

    def value(self, seen):
        log_p = seen.logits.log_softmax(-1)  # (R, B, C)
        own = log_p.gather(-1, seen.labels[..., None].long()).squeeze(-1)  # (R, B)
        return self.share.to(own.dtype) * (own - log_p.mean(-1)).mean(1)  # (R,)


@register_schedule("linear_to", end=0.0)
@dataclass(frozen=True)
class LinearTo(Schedule):
    """A learning rate that falls linearly over the whole run."""

    end: Annotated[Tensor, per_replica("share of the learning rate at the end", ge=0, le=1)]

    spans_run = True

    def at(self, updates, state):
        return 1 - (1 - self.end) * updates / self.steps


@register_task("first_letter", length=8)
@dataclass(frozen=True)
class FirstLetter(Task):
    """Name the first of some letters: six classes."""

    length: Annotated[int, shared("letters in a sequence", ge=2, le=1000)]

    symbols, classes = "abcdef", "ABCDEF"

    @property
    def padded_length(self):
        return self.length

    def batch(self, seeds, step, size, stream=0):
        drawn = [
            generator.integers(0, 6, (size, self.length), np.uint8)
            for generator in generators(seeds, step, stream)
        ]
        symbols = np.stack(drawn)  # (R, B, T)
        return symbols, symbols[:, :, 0].copy()


@register_metric("angle")
@dataclass(frozen=True)
class Angle(Metric):
    """The cosine of the angle between the update and the steepest descent, of each tensor."""

    def measure(self, step):
        found = {}
        for name, g in step.grads.items():
            g, moved = g.double(), step.after[name].double() - step.params[name].double()
            size = norms(g.flatten(1)) * norms(moved.flatten(1))
            found[name] = -(g * moved).flatten(1).cumsum(1)[:, -1] / size
        return found
