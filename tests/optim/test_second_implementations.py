"""Cures against those of the package pytorch_optimizer, 200 steps in float64, one run at a time."""

from functools import partial

import pytest
import pytorch_optimizer
import torch
from pytorch_optimizer.optimizer.muon import base as muon_base

from hw2exp.models.axes import Layout, norms
from hw2exp.models.hyperparameters import build
from hw2exp.optim.clipping.adagc import AdaGC
from hw2exp.optim.clipping.agc import AGC
from hw2exp.optim.named import in_rows
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.optim.optimizers.lion import Lion
from hw2exp.optim.optimizers.muon import Muon
from hw2exp.optim.optimizers.spam import SPAM
from hw2exp.optim.optimizers.stable_adamw import StableAdamW
from hw2exp.optim.optimizers.stable_spam import StableSPAM

STEPS = 200
LAYOUT = Layout({"weight_ih": (5, 3), "weight_hh": (3, 6), "bias": (5,), "readout_weight": (4, 2)})
NUMBERS = 46


def draw():
    """Start (1, P) and gradients (steps, 1, P), with spikes of one entry and of all."""
    generator = torch.Generator().manual_seed(7)
    start = torch.randn(1, NUMBERS, generator=generator, dtype=torch.float64)
    grads = torch.randn(STEPS, 1, NUMBERS, generator=generator, dtype=torch.float64)
    grads[70::40, :, 20] *= 1e5
    grads[60::50] *= 300
    return start, grads


def ours(optimizer, clip=None):
    """The parameters after every update, (steps, P)."""
    start, grads = draw()
    program = in_rows(build("optimizer", [optimizer]), LAYOUT)
    rule = in_rows(build("clip", [clip]), LAYOUT) if clip else None
    params, state, history = start, program.init(start), []
    clip_state = rule.init(start) if rule else {}
    for g in grads:
        if rule:
            g, clip_state = rule.update(g, params, norms(g), clip_state)
        params, state = program.update(params, g, state, program.lr)
        history.append(params[0])
    return torch.stack(history)


def theirs(make, change=lambda param: param.grad):
    """The same of an optimizer of the package, made of parameters by name."""
    start, grads = draw()
    named = {
        name: torch.nn.Parameter(value[0].clone())
        for name, value in LAYOUT.unflatten(start).items()
    }
    stepper, history = make(named), []
    for g in grads:
        for name, value in LAYOUT.unflatten(g).items():
            named[name].grad = value[0].clone()
            named[name].grad = change(named[name])
        stepper.step()
        history.append(torch.cat([p.detach().flatten() for p in named.values()]))
    return torch.stack(history)


def check(mine, other, tolerance=1e-11):
    assert (mine - other).abs().max() / other.abs().max() < tolerance
    assert (other[-1] != other[-2]).all()


BETAS = {"beta1": 0.9, "beta2": 0.99}
ADAM = {"lr": 0.01, "weight_decay": 0.0, **BETAS, "eps": 1e-8, "decoupled": True}
DECAYED = ADAM | {"weight_decay": 0.1}
THEIRS = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8}


def test_lion():
    mine = ours(Lion.Knobs(name="lion", lr=0.01, weight_decay=0.1, **BETAS))
    knobs = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    check(mine, theirs(lambda p: pytorch_optimizer.Lion(p.values(), **knobs)))


def test_stable_adamw():
    mine = ours(StableAdamW.Knobs(name="stable_adamw", **DECAYED, max_rms=1.0))
    knobs = THEIRS | {"weight_decay": 0.1, "kahan_sum": False}
    check(mine, theirs(lambda p: pytorch_optimizer.StableAdamW(p.values(), **knobs)))
    unlimited = ours(StableAdamW.Knobs(name="stable_adamw", **DECAYED, max_rms=1e9))
    assert (mine - unlimited).abs().max() > 0.01, "no step was shortened"


@pytest.mark.parametrize("threshold", [9.0, pytest.param(5000.0, marks=pytest.mark.slow)])
def test_spam(threshold):
    """With a tiny ε, which the package adds before the correction of the bias."""
    own = {"threshold": threshold, "reset_every": 60, "warmup_steps": 15, "clip_after": 10}
    mine = ours(SPAM.Knobs(name="spam", **ADAM | {"eps": 1e-15}, **own))

    def make(named):
        return pytorch_optimizer.SPAM(
            named.values(), **THEIRS | {"eps": 1e-15}, threshold=threshold, update_proj_gap=60,
            warmup_epoch=15, grad_accu_steps=10,
        )  # fmt: skip

    check(mine, theirs(make))
    free = ours(SPAM.Knobs(name="spam", **ADAM | {"eps": 1e-15}, **own | {"threshold": 1e30}))
    assert (mine - free).abs().max() > 1e-3, "no spike was clipped"


def test_stable_spam():
    own = {"gamma1": 0.7, "gamma2": 0.9, "gamma3": 0.999, "reset_every": 60}
    mine = ours(StableSPAM.Knobs(name="stable_spam", **DECAYED, **own))
    knobs = THEIRS | {"weight_decay": 0.1, "theta": 0.999, "update_proj_gap": 60}
    check(mine, theirs(lambda p: pytorch_optimizer.StableSPAM(p.values(), **knobs)))


@pytest.mark.parametrize("nesterov", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_muon(nesterov, monkeypatch):
    """But for the package's bfloat16."""
    exact = partial(muon_base.zero_power_via_newton_schulz_5, dtype=torch.float64)
    monkeypatch.setattr(muon_base, "zero_power_via_newton_schulz_5", exact)
    decay = {"weight_decay": 0.1}
    mine = ours(
        Muon.Knobs(name="muon", lr=0.02, **decay, momentum=0.95, nesterov=nesterov, iterations=5,
                   adam_lr=0.01, **BETAS, eps=1e-8)
    )  # fmt: skip

    def make(named):
        hidden = [named["weight_ih"], named["weight_hh"]]
        others = [named["bias"], named["readout_weight"]]
        groups = [
            {"params": hidden, "lr": 0.02, "nesterov": nesterov, **decay, "use_muon": True},
            {"params": others, **THEIRS, **decay, "use_muon": False},
        ]
        return pytorch_optimizer.Muon(groups)

    check(mine, theirs(make))


def test_agc():
    """Which the package applies to one tensor; then Adam."""
    clip = AGC.Knobs(name="agc", max_ratio=0.5, eps=1e-3, readout=True)
    mine = ours(Adam.Knobs(name="adamw", **ADAM), clip)

    def limited(param):
        return pytorch_optimizer.optimizer.agc(param.detach(), param.grad, 1e-3, 0.5)

    other = theirs(lambda p: torch.optim.AdamW(p.values(), **THEIRS, weight_decay=0), limited)
    check(mine, other)


def test_adagc():
    """With Adam, as in the package, which takes the whole gradient's norm in float32."""
    own = {"beta": 0.98, "max_ratio": 1.05, "warmup_norm": 1.0, "warmup_steps": 20}
    mine = ours(Adam.Knobs(name="adamw", **DECAYED), AdaGC.Knobs(name="adagc", **own))
    knobs = THEIRS | {"weight_decay": 0.1, "warmup_steps": 21}
    check(mine, theirs(lambda p: pytorch_optimizer.AdaGC(p.values(), **knobs)), 1e-6)
