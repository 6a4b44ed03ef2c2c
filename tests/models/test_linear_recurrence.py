"""The LRU against closed forms of linear recurrences under white input.

Zucchet & Orvieto 2024, "Recurrent neural networks: vanishing and exploding gradients are not the
end of the story", arXiv:2405.21064: for h[t] = λ h[t-1] + x[t] and white x of variance 1,
E |h|² = 1 / (1 - |λ|²) and E |∂h/∂λ|² = (1 + |λ|²) / (1 - |λ|²)³.
"""

import cmath
import math

import pytest
import torch

from hw2exp.models.cell import unroll
from hw2exp.models.cells.lru import LRU
from hw2exp.models.normalization import NormPass

T = 200
"""Time steps: of 0.9 to the power of twice as many nothing is left."""


def lru_of(eigenvalue, replicas):
    """An LRU of one complex number, and its parameters: B and exp(γ) are 1."""
    ring = {"r_min": 0.0, "r_max": 1.0, "max_phase": 1.0}
    cell = LRU(LRU.Knobs(name="lru", hidden_size=2, **ring), 1)
    modulus, phase = abs(eigenvalue), cmath.phase(eigenvalue) % math.tau
    logs = {
        "nu_log": math.log(-math.log(modulus)),
        "theta_log": math.log(phase) if phase else -100.0,
        "gamma_log": 0.0,
    }
    params = {key: torch.full((replicas, 1), log, dtype=torch.float64) for key, log in logs.items()}
    params["B"] = torch.tensor([1.0, 0.0]).double().view(1, 2, 1).repeat(replicas, 1, 1)
    return cell, {key: value.requires_grad_() for key, value in params.items()}


@pytest.mark.parametrize("eigenvalue", [0.9, 0.5, 0.8j, cmath.rect(0.9, 2.0), -0.8 - 0.1j])
def test_states_and_sensitivities_have_their_variance(eigenvalue):
    """By linearity a variance under white input is the sum of squares over all unit impulses."""
    cell, params = lru_of(eigenvalue, T)
    impulses = torch.eye(T).double().view(T, T, 1, 1)  # replica r has one at time r
    last = unroll(cell, params, impulses, NormPass())[-1][:, 0]  # (R, 2)
    rho = abs(eigenvalue) ** 2
    assert float(last.detach().square().sum()) == pytest.approx(1 / (1 - rho), rel=1e-9)
    of_nu, of_theta = (
        torch.complex(
            *(torch.autograd.grad(part.sum(), p, retain_graph=True)[0] for part in last.T)
        )
        for p in (params["nu_log"], params["theta_log"])
    )
    nu, theta = (params[name][0, 0].detach().exp() for name in ("nu_log", "theta_log"))
    expected = (1 + rho) / (1 - rho) ** 3
    by_nu = of_nu / (-nu * eigenvalue)  # ∂λ/∂ν = -exp(ν) λ
    assert float(by_nu.abs().square().sum()) == pytest.approx(expected, rel=1e-9)
    if cmath.phase(eigenvalue):
        by_theta = of_theta / (1j * theta * eigenvalue)  # ∂λ/∂θ = i exp(θ) λ
        torch.testing.assert_close(by_theta, by_nu, rtol=1e-9, atol=1e-12)


def test_a_normalized_state_has_the_size_of_its_input():
    """With γ = ln √(1 - |λ|²), as an LRU starts."""
    cell, params = lru_of(0.8 + 0.3j, T)
    rho = abs(0.8 + 0.3j) ** 2
    params["gamma_log"] = torch.full((T, 1), 0.5 * math.log(1 - rho), dtype=torch.float64)
    impulses = torch.eye(T).double().view(T, T, 1, 1)
    last = unroll(cell, params, impulses, NormPass())[-1]
    assert float(last.detach().square().sum()) == pytest.approx(1, rel=1e-9)
