"""σReparam against singular values and the exact derivative by torch."""

import pytest
import torch

from hw2exp.config.groups import Model
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.cell import gains_of, prepare, unroll
from hw2exp.models.cells.lstm import LSTM
from hw2exp.models.normalization.protocol import NormPass
from hw2exp.models.normalization.sigma_reparam import SigmaReparam, spectral_norm

GAMMAS = 1.0, 0.5, 2.0
R, H, I = 3, 5, 8  # fmt: skip


def lstm():
    """An LSTM with the norm, and parameters in float64; γ differs for each matrix."""
    cell = LSTM(Model(name="lstm", hidden_size=H), I)
    norm = SigmaReparam(torch.tensor(GAMMAS, dtype=torch.float64))
    shapes = {name: weight.shape for name, weight in cell.weights().items()}
    shapes |= {name: gain.shape for name, gain in gains_of(cell, norm).items()}
    generator = torch.Generator().manual_seed(0)
    params = {
        name: torch.randn(R, *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    return cell, norm, params


def by_hand(params):
    """γ W / σ(W) with torch's own singular values, which autograd differentiates exactly."""
    own = dict(params)
    for name in ("weight_ih", "weight_hh"):
        blocks = []
        for i, block in enumerate(params[name].chunk(4, 1)):
            sigma = torch.linalg.svdvals(block)[:, 0]
            factor = params[f"sigma_{name}"][:, i] / sigma
            blocks.append(factor[:, None, None] * block)
        own[name] = torch.cat(blocks, 1)
    return own


def test_it_is_the_definition_and_so_is_its_gradient():
    cell, norm, params = lstm()
    x = torch.randn(R, 6, 4, I, dtype=torch.float64)
    free = {name: value.requires_grad_() for name, value in params.items()}
    mine = unroll(cell, free, x, norm.forward(free, cell.terms()))[-1]
    theirs = unroll(cell, by_hand(free), x, NormPass())[-1]
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(mine)
    grads = [torch.autograd.grad((h * weight).sum(), list(free.values())) for h in (mine, theirs)]
    for name, own, other in zip(free, *grads, strict=True):
        assert own.any(), name
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


def test_the_power_iteration_of_the_paper_ends_at_the_same_norm():
    """W ← γ W / σ(W) with u and v from their algorithm 1."""
    W = torch.randn(2, 3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    v = torch.ones(2, 3, 5, 1, dtype=torch.float64)
    for _ in range(2000):
        u = torch.nn.functional.normalize(W @ v, dim=-2)
        v = torch.nn.functional.normalize(W.mT @ u, dim=-2)
    theirs = (u.mT @ W @ v)[..., 0, 0]
    torch.testing.assert_close(spectral_norm(W), theirs, rtol=1e-10, atol=0)


def test_every_matrix_starts_with_the_spectral_norm_gamma(compose):
    fleet = Fleet(
        [compose("model=gru", "norm=sigma_reparam", "norm.gamma=0.7", "init.recurrent=normal")]
    )
    model = fleet.model
    used = prepare(model.cell, fleet.params, model.normalization.forward(fleet.params, {}))
    for name in ("weight_ih", "weight_hh"):
        for block in used[name].chunk(3, 1):
            assert float(torch.linalg.svdvals(block)[0, 0]) == pytest.approx(0.7, rel=1e-5)
    assert torch.equal(used["bias_ih"], fleet.params["bias_ih"])
    assert fleet.params["sigma_weight_hh"].shape == (1, 3)


def test_zeros_stay_zeros_and_what_is_not_finite_stays_in_its_replica():
    cell, norm, params = lstm()
    sound = prepare(cell, params, norm.forward(params, {}))
    params["weight_hh"][1, 2, 3] = torch.nan
    params["weight_ih"][2] = 0
    found = prepare(cell, params, norm.forward(params, {}))
    assert torch.equal(found["weight_hh"][[0, 2]], sound["weight_hh"][[0, 2]])
    assert found["weight_hh"][1].isnan().any()
    free = params["weight_ih"].requires_grad_()
    prepared = prepare(cell, params | {"weight_ih": free}, norm.forward(params, {}))["weight_ih"]
    assert not prepared[2].any()
    prepared.square().sum().backward()
    assert free.grad.isfinite().all()
