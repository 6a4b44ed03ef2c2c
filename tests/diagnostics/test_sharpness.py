"""Sharpness against the whole Hessian, by autograd, and its eigenvalues, by LAPACK and ARPACK."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from hw2exp.diagnostics.lanczos import lanczos, start_vectors
from hw2exp.diagnostics.sharpness import (
    difference_product,
    directional_curvature,
    exact_product,
    gradient_at,
    sharpness,
)
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.models.classifier import Classifier
from hw2exp.tasks.task import TRAIN

MODELS = ["gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm"]
SMALL = ("task=easy", "batch_size=4", "model.hidden_size=2", "check_initial_loss=off")


def trained(configs, steps=3):
    """A fleet after some steps, and the batch of its next."""
    fleet = Fleet(configs)
    for step in range(1, steps + 1):
        lr = train_step(fleet, step).lr
    return fleet, *fleet.batch(steps + 1, TRAIN, fleet.config.batch_size), lr


def whole_hessian(fleet, symbols, labels):
    """By autograd through the plain form, (R, P, P)."""
    model = fleet.model
    plain = Classifier(model.cell, model.normalization, model.time_steps)

    def loss(row, r):
        rows = torch.stack([row if i == r else other for i, other in enumerate(at)])
        there = fleet.layout.unflatten(rows)
        return plain.mean_loss(there, symbols, labels)[0][r]

    at = fleet.state.params.double()
    return torch.stack(
        [torch.autograd.functional.hessian(lambda row, r=r: loss(row, r), at[r]) for r in range(2)]
    )


# ---------------------------------------------------------------- Lanczos

SPECTRA = {
    "spread": torch.linspace(-3, 2, 40),
    "all below zero": torch.linspace(-9, -1, 40),
    "the largest is far from the largest in size": torch.tensor([-1e6, *torch.linspace(-1, 1, 39)]),
    "the largest is there many times": torch.tensor([2.0] * 20 + [1.0] * 10 + [-5.0] * 10),
    "one number": torch.full((40,), -0.7),
    "zero": torch.zeros(40),
    "one that isn't": torch.tensor([0.0] * 39 + [3.0]),
    "smaller than the iterations": torch.tensor([1.0, -2.0, 3.0]),
    "a single number": torch.tensor([-4.0]),
}


def symmetric(spectrum, seed=0):
    """A symmetric matrix with a spectrum, (P, P)."""
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(square).Q
    return q @ torch.diag(spectrum.double()) @ q.mT


def times(matrices):
    return lambda v: torch.bmm(matrices, v[..., None])[..., 0]


@pytest.mark.parametrize("name", SPECTRA)
def test_the_largest_eigenvalue_of_a_quadratic(name):
    spectrum = SPECTRA[name]
    matrix = symmetric(spectrum)[None]
    found = lanczos(times(matrix), start_vectors([3], len(spectrum)), 40)
    size = spectrum.abs().max().double()
    largest = torch.linalg.eigvalsh(matrix)[:, -1]
    torch.testing.assert_close(found.value, largest, rtol=0, atol=1e-12 * float(size))
    assert (found.residual <= 1e-6 * size).all()


@pytest.mark.parametrize("iterations", [1, 2, 5, 8])
def test_unfinished_it_comes_from_below_and_the_residual_says_how_near_an_eigenvalue_is(iterations):
    matrices = torch.stack([symmetric(SPECTRA["spread"], seed) for seed in range(4)])
    found = lanczos(times(matrices), start_vectors(range(4), 40), iterations)
    eigenvalues = torch.linalg.eigvalsh(matrices)
    assert (found.value <= eigenvalues[:, -1] + 1e-12).all()
    nearest = (eigenvalues - found.value[:, None]).abs().amin(1)
    assert (nearest <= found.residual + 1e-12).all()
    assert (found.residual > 1e-3).all()


@pytest.mark.parametrize("where", ["the matrix", "one number of it"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_matrix_that_is_not_finite_is_nan_and_its_neighbors_do_not_notice(where, value):
    matrices = torch.stack([symmetric(SPECTRA["spread"], seed) for seed in range(3)])
    start = start_vectors(range(3), 40)
    sound = lanczos(times(matrices), start, 10)
    matrices[1, slice(None) if where == "the matrix" else 7] = value
    broken = lanczos(times(matrices), start, 10)
    assert broken.value[1].isnan()
    assert broken.residual[1].isnan()
    for r in (0, 2):
        assert broken.value[r] == sound.value[r]
        assert broken.residual[r] == sound.residual[r]


def test_beside_a_huge_negative_one_what_inexact_products_make_up_is_known_for_what_it_is():
    """A product that is off by a share of the norm, as one of differences: of 1e9, by 1e4."""
    spectrum = torch.tensor([-1e9, *torch.linspace(-1, 1, 39)])
    matrix = symmetric(spectrum)[None]
    error = symmetric(torch.linspace(-1e4, 1e4, 40), seed=1)[None]
    off = times(matrix + error)
    fooled = lanczos(off, start_vectors([3], 40), 14)
    assert float(fooled.value) > 1e3
    assert torch.equal(fooled.found, fooled.value)
    found = lanczos(off, start_vectors([3], 40), 14, check=times(matrix))
    assert float(found.value) <= 1 + 1e-6  # a Rayleigh quotient exceeds no eigenvalue
    assert found.found.isnan().all()


def test_start_vectors_are_a_function_of_the_seed():
    seeds = np.array([5, 2**63 - 1, 0], dtype=np.uint64)
    together = start_vectors(seeds, 33)
    for r in range(3):
        assert torch.equal(start_vectors(seeds[r : r + 1], 33)[0], together[r])
    cosines = torch.corrcoef(together)
    assert (cosines - torch.eye(3)).abs().max() < 0.6


# ---------------------------------------------------------------- Hessian-vector products


@pytest.mark.parametrize(
    ("model", "norm"),
    [*((model, "none") for model in MODELS), ("attn_rnn", "batch"), ("lstm", "layer")],
)
def test_differences_are_the_exact_product(compose, model, norm):
    configs = [compose(*SMALL, f"model={model}", f"norm={norm}", f"seed={s}") for s in range(2)]
    fleet, *batch, _ = trained(configs)
    at = fleet.state.params.double()
    v = start_vectors(fleet.seeds, at.shape[1]) * torch.tensor([[1e-6], [1e6]])
    exact = exact_product(fleet, at, *batch)(v)
    found = difference_product(fleet, at, *batch)(v)
    error = torch.linalg.vector_norm(found - exact, dim=1) / torch.linalg.vector_norm(exact, dim=1)
    assert (error < 1e-5).all()


@pytest.mark.slow
def test_differences_hold_where_the_gradient_explodes(compose):
    fleet = Fleet([compose("model=attn_rnn", "task=normal", "optimizer.lr=0.003", "seed=5")])
    steepest = torch.zeros(1)
    for step in range(1, 21):
        before = fleet.state
        measured = train_step(fleet, step)
        if measured.grad_norm_raw > steepest:
            steepest, state, at = measured.grad_norm_raw, before, step
    assert steepest > 1e3
    fleet.state = state
    batch = fleet.batch(at, TRAIN, fleet.config.batch_size)
    exact, found = (sharpness(fleet, *batch, measured.lr, exact=exact) for exact in (True, False))
    for kind in ("raw", "preconditioned"):
        ours, truth = getattr(found, kind).value, getattr(exact, kind).value
        torch.testing.assert_close(ours, truth, rtol=1e-3, atol=0)


# ---------------------------------------------------------------- sharpness

OPTIMIZERS = ["sgd", "rmsprop", "adam"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "norm"), [*((model, "none") for model in MODELS), ("gated_rnn", "batch")]
)
def test_it_is_the_largest_eigenvalue_of_the_whole_hessian(compose, model, norm):
    overrides = (*SMALL, f"model={model}", f"norm={norm}", "optimizer=rmsprop")
    fleet, *batch, lr = trained([compose(*overrides, f"seed={seed}") for seed in range(2)])
    hessian = whole_hessian(fleet, *batch)
    root = fleet.optimizer.preconditioner(fleet.state.optimizer).double().sqrt()
    scaled = hessian / root[:, :, None] / root[:, None, :]
    found = sharpness(fleet, *batch, lr, iterations=40)
    for eigenvalue, matrix in ((found.raw, hessian), (found.preconditioned, scaled)):
        largest = torch.linalg.eigvalsh(matrix)[:, -1]
        torch.testing.assert_close(eigenvalue.value, largest, rtol=1e-4, atol=0)


def test_it_is_what_arpack_finds(compose):
    fleet, *batch, lr = trained([compose("model=lstm", "task=easy", "batch_size=8")])
    at = fleet.state.params.double()
    product = exact_product(fleet, at, *batch)
    P = at.shape[1]
    operator = LinearOperator(
        (P, P), lambda v: product(torch.from_numpy(v).reshape(1, P))[0].numpy(), dtype=np.float64
    )
    largest = eigsh(operator, k=1, which="LA", return_eigenvectors=False, v0=np.ones(P))
    for exact in (True, False):
        found = sharpness(fleet, *batch, lr, iterations=25, exact=exact)
        np.testing.assert_allclose(found.raw.value, largest, rtol=1e-9 if exact else 1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=attn_rnn", "optimizer=adam", "model.hidden_size=7"),
        ("model=gated_rnn", "optimizer=sgd"),
        ("model=attn_rnn_inf", "optimizer=rmsprop", "model.hidden_size=5"),
        ("model=rnn", "optimizer=rmsprop", "norm=batch", "model.hidden_size=7"),
        ("model=lstm", "optimizer=adam", "norm=layer", "model.hidden_size=6"),
    ],
    ids=" ".join,
)
def test_same_bits_alone_and_in_a_fleet(compose, overrides):
    configs = [
        compose("task=easy", "batch_size=5", *overrides, f"seed={seed}") for seed in range(3)
    ]
    fleet, symbols, labels, lr = trained(configs)
    together = sharpness(fleet, symbols, labels, lr)
    for r, config in enumerate(configs):
        own = slice(r, r + 1)
        alone = Fleet([config])
        alone.state = fleet.state.take(torch.tensor([r]))
        found = sharpness(alone, symbols[own], labels[own], lr[own])
        for kind in ("raw", "preconditioned"):
            for part in ("value", "residual"):
                few, many = (getattr(getattr(s, kind), part) for s in (found, together))
                assert few.isfinite().all()
                assert torch.equal(few, many[own]), (kind, part)
        assert torch.equal(found.limit, together.limit[own])


@pytest.mark.parametrize(
    ("value", "exact"), [(torch.nan, False), (torch.inf, False), (1e30, False), (torch.nan, True)]
)
def test_a_broken_replica_is_nan_and_its_neighbors_do_not_notice(compose, value, exact):
    configs = [compose(*SMALL, "model=attn_rnn", f"seed={seed}") for seed in range(3)]
    fleet, *batch, lr = trained(configs)
    sound = sharpness(fleet, *batch, lr, exact=exact)
    fleet.state.params[1] = value
    broken = sharpness(fleet, *batch, lr, exact=exact)
    assert broken.raw.value[1].isnan()
    assert broken.instability[1].isnan()
    for r in (0, 2):
        assert broken.raw.value[r] == sound.raw.value[r]
        assert broken.preconditioned.residual[r] == sound.preconditioned.residual[r]


@pytest.mark.parametrize("overrides", [("norm=batch",), ("model=rnn", "regularizer=omega")])
def test_a_look_changes_nothing(compose, overrides):
    configs = [compose(*SMALL, *overrides, f"seed={seed}") for seed in range(2)]
    fleet, *batch, lr = trained(configs)
    before = {name: value.clone() for name, value in fleet.state.tensors().items()}
    sharpness(fleet, *batch, lr)
    for name, value in fleet.state.tensors().items():
        assert torch.equal(value, before[name]), name
    unseen, *_ = trained(configs)
    for each in (fleet, unseen):
        train_step(each, 4)
    assert torch.equal(fleet.state.params, unseen.state.params)


def test_of_sgd_the_preconditioned_is_the_raw_one_and_its_limit_is_two_over_the_rate(compose):
    configs = [compose(*SMALL, "optimizer=sgd", f"optimizer.momentum={m}") for m in (0, 0.5)]
    fleet, *batch, lr = trained(configs)
    found = sharpness(fleet, *batch, lr)
    assert found.preconditioned is found.raw
    torch.testing.assert_close(found.limit, torch.tensor([2.0, 3.0]).double() / lr)
    torch.testing.assert_close(found.instability, found.raw.value / found.limit)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_optimizer_sees_its_l2_penalty_too(compose, optimizer):
    words = (*SMALL, "model=gated_rnn", f"optimizer={optimizer}")
    fleet, *batch, lr = trained(
        [compose(*words, f"optimizer.weight_decay={decay}") for decay in (3, 0.5)]
    )
    hessian = whole_hessian(fleet, *batch)
    root = fleet.optimizer.preconditioner(fleet.state.optimizer).double().sqrt()
    penalty = torch.tensor([3.0, 0.5]).double()[:, None, None] * torch.eye(hessian.shape[1])
    seen = (hessian + penalty) / root[:, :, None] / root[:, None, :]
    found = sharpness(fleet, *batch, lr, iterations=40)
    for eigenvalue, matrix in ((found.raw, hessian), (found.preconditioned, seen)):
        largest = torch.linalg.eigvalsh(matrix)[:, -1]
        torch.testing.assert_close(eigenvalue.value, largest, rtol=1e-4, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_curvature_along_the_gradient(compose, optimizer):
    """As Bai et al. (2025) define it, with the whole Hessian."""
    words = (*SMALL, "model=attn_rnn", f"optimizer={optimizer}")
    fleet, *batch, _ = trained(
        [compose(*words, f"optimizer.weight_decay={decay}") for decay in (0, 0.5)]
    )
    hessian, at = whole_hessian(fleet, *batch), fleet.state.params.double()
    found = directional_curvature(fleet, *batch)
    for r, decay in enumerate((0, 0.5)):
        divisor = fleet.optimizer.preconditioner(fleet.state.optimizer)[r].double()
        g = gradient_at(fleet, at, *batch)[r] + decay * at[r]
        seen = torch.diag(1 / divisor) @ (hessian[r] + decay * torch.eye(len(g)))
        torch.testing.assert_close(found[r], g @ seen @ g / (g @ g), rtol=1e-5, atol=0)


def test_a_decoupled_decay_is_no_curvature(compose):
    words = (*SMALL, "model=gated_rnn", "optimizer=adam", "optimizer.weight_decay=0.1")
    fleet, *batch, lr = trained([compose(*words, "optimizer.decoupled=true")])
    coupled = Fleet([compose(*words)])
    coupled.state = fleet.state
    seen, more = (sharpness(each, *batch, lr) for each in (fleet, coupled))
    assert torch.equal(seen.raw.value, more.raw.value)
    assert float(seen.preconditioned.value) < float(more.preconditioned.value)
