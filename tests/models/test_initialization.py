import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest, uniform

from hw2exp.config.groups import Model
from hw2exp.config.schema import Init
from hw2exp.models import random_matrices
from hw2exp.models.cells.gated_rnn import GatedRNN
from hw2exp.models.cells.lru import LRU
from hw2exp.models.cells.lstm import LSTM
from hw2exp.models.classifier import Classifier
from hw2exp.models.initialization import seeded
from hw2exp.models.normalization.protocol import Norm
from tests.models.references import to_torch

START = Init(
    input="torch",
    recurrent="torch",
    readout="torch",
    bias="torch",
    input_scale=1.0,
    scale=1.0,
    readout_scale=1.0,
    forget_bias=0.0,
)


def start(cell, seeds, inits):
    return Classifier(cell, Norm(), 9).initialize(inits, seeds)


def gated(hidden=6):
    return GatedRNN(Model(name="gated_rnn", hidden_size=hidden), 8)


def lstm(hidden=6):
    return LSTM(Model(name="lstm", hidden_size=hidden), 8)


def test_a_replica_depends_on_its_own_seed_alone():
    fleet = start(gated(), [5, 6, 7], [START] * 3)
    for replica, seed in enumerate([5, 6, 7]):
        alone = start(gated(), [seed], [START])
        assert all(torch.equal(fleet[name][replica], alone[name][0]) for name in fleet)
    assert not torch.equal(fleet["W_x"][0], fleet["W_x"][1])


@pytest.mark.parametrize("kind", ["torch", "orthogonal", "normal", "sparse"])
def test_seeds_that_agree_in_32_bits_start_apart(kind):
    """Each of the 64 bits counts, alone and however the weights are drawn."""
    init = START.model_copy(update={"recurrent": kind})
    seeds = [5, 5 + 2**32, 5 + 2**33, 2**62 + 5, (5 << 32), 2**63 - 1, 2**32 - 1]
    params = start(gated(), seeds, [init] * len(seeds))
    for name in ("W_h", "W_x", "readout_weight"):
        distinct = {own.numpy().tobytes() for own in params[name]}
        assert len(distinct) == len(seeds), name


def test_a_seed_of_32_bits_gives_what_torchs_gives():
    for seed in (0, 5, 2**32 - 1):
        torch.manual_seed(seed)
        assert torch.equal(torch.rand(2_000), torch.rand(2_000, generator=seeded(seed)))


@pytest.mark.parametrize("seed", [2**32, 5 + 2**32, 2**63 - 1])
def test_a_longer_seed_gives_what_numpys_generator_gives_of_both_words(seed):
    """2,000 words: the generator's 624 are made anew three times."""
    theirs = np.random.RandomState([seed % 2**32, seed >> 32]).randint(0, 2**24, 2_000)
    mine = torch.randint(0, 2**24, (2_000,), generator=seeded(seed))
    assert mine.tolist() == theirs.tolist()


def test_linear_layers_start_as_torchs():
    params = start(gated(), [3], [START])
    torch.manual_seed(3)
    for name, inputs in (("W_x", 8), ("W_c", 8), ("W_h", 6)):
        assert torch.equal(params[name][0], torch.nn.Linear(inputs, 6, bias=False).weight)


@pytest.mark.parametrize(
    ("cell", "blocks"), [(gated(16), 1), (lstm(16), 4), (gated(3), 1)], ids=["W", "gates", "wide"]
)
def test_orthogonal_matrices_are_orthogonal_block_by_block(cell, blocks):
    init = START.model_copy(update={"input": "orthogonal", "recurrent": "orthogonal"})
    params = start(cell, [1, 2], [init] * 2)
    for name, weight in cell.weights().items():
        if weight.role not in ("input", "recurrent"):
            continue
        for block in params[name].chunk(blocks, 1):  # (R, out, in)
            small = block if block.shape[1] <= block.shape[2] else block.mT
            small = small.double()
            product = small @ small.mT
            eye = torch.eye(len(product[0]), dtype=torch.float64).expand_as(product)
            torch.testing.assert_close(product, eye, rtol=0, atol=1e-6)


def test_orthogonal_matrices_are_uniformly_distributed():
    """A square of an entry of a uniform one has a beta distribution; so has that of torch's."""
    mine = [random_matrices.orthogonal((5, 3), seeded(seed)) for seed in range(400)]
    generator = seeded(0)
    theirs = [torch.nn.init.orthogonal_(torch.empty(5, 3), generator=generator) for _ in mine]
    for drawn in (mine, theirs):
        entries = torch.stack(drawn)  # (n, 5, 3)
        for row, column in ((0, 0), (4, 2)):
            entry = entries[:, row, column].double()
            assert kstest(entry.square().numpy(), beta(1 / 2, 4 / 2).cdf).pvalue > 1e-3
            assert abs((entry > 0).double().mean() - 0.5) < 0.1


def test_the_spectral_radius_is_that_of_lapack():
    """Complex pairs, equal moduli, defective and far from normal matrices too."""
    draw = np.random.default_rng(0)
    matrices = [draw.normal(size=(size, size)) for size in (1, 2, 3, 16, 50) for _ in range(10)]
    turn, jordan = np.array([[0.6, -0.8], [0.8, 0.6]]), np.array([[2.0, 1.0], [0.0, 2.0]])
    matrices += [np.zeros((2, 2)), np.array([[0.0, 1.0], [0.0, 0.0]])]
    matrices += [turn, 1e-30 * turn, 1e30 * turn, jordan, np.diag([1.0, -1.0, 0.5])]
    matrices += [np.triu(draw.normal(size=(12, 12)) * 100, 1) + np.diag(np.linspace(1, 2, 12))]
    for matrix in matrices:
        exact = abs(np.linalg.eigvals(matrix)).max()
        assert random_matrices.spectral_radius(matrix) == pytest.approx(exact, rel=1e-8)


def test_scales_are_per_replica_and_per_layer():
    scaled = START.model_copy(update={"scale": 2.0, "input_scale": 3.0, "readout_scale": 0.5})
    params = start(lstm(), [1, 1], [START, scaled])
    factors = {"weight_ih": 3.0, "weight_hh": 2.0, "readout_weight": 0.5, "readout_bias": 0.5}
    for name, value in params.items():
        assert torch.equal(value[1], value[0] * factors.get(name, 1.0))


def test_a_zero_readout_is_zero():
    zeros = START.model_copy(update={"readout": "zeros"})
    params = start(gated(), [1], [zeros])
    assert not params["readout_weight"].any()
    assert not params["readout_bias"].any()
    assert params["W_h"].any()


def test_normal_weights_have_the_scale_as_their_deviation():
    scales = {"input_scale": 0.1, "scale": 0.2, "readout_scale": 0.5}
    normal = dict.fromkeys(("input", "recurrent", "readout"), "normal")
    params = start(lstm(200), [3], [START.model_copy(update=normal | scales)])
    for name, scale in (("weight_ih", 0.1), ("weight_hh", 0.2), ("readout_weight", 0.5)):
        drawn = params[name].double().flatten() / scale
        assert kstest(drawn.numpy(), "norm").pvalue > 1e-3, name


@pytest.mark.parametrize(("cell", "blocks"), [(gated(50), 1), (lstm(40), 4)], ids=["W", "gates"])
def test_sparse_matrices_have_15_numbers_a_row_and_the_scale_as_their_spectral_radius(cell, blocks):
    init = START.model_copy(update={"recurrent": "sparse", "scale": 0.95})
    params = start(cell, [1, 2], [init] * 2)
    name = next(key for key, weight in cell.weights().items() if weight.role == "recurrent")
    for block in params[name].chunk(blocks, 1):  # (R, out, in)
        assert ((block != 0).sum(2) == 15).all()
        for matrix in block.double().numpy():
            assert abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.95, abs=1e-5)
    columns = (params[name] != 0).sum(1)
    assert columns.min() < columns.max()  # which 15 differs from row to row


def test_a_sparse_matrix_of_less_than_15_is_full():
    params = start(gated(6), [1], [START.model_copy(update={"recurrent": "sparse"})])
    assert (params["W_h"] != 0).all()


def test_zero_biases_are_zero_and_leave_the_weights_drawn_as_before():
    zeros = start(lstm(), [1], [START.model_copy(update={"bias": "zeros"})])
    drawn = start(lstm(), [1], [START])
    for name, value in zeros.items():
        if "bias" in name:
            assert not value.any()
            assert drawn[name].any()
    for name in ("weight_ih", "weight_hh"):
        assert torch.equal(zeros[name], drawn[name])


def test_a_forget_bias_keeps_a_torch_lstms_memory():
    """With a gate that is open, the memory that torch's module hands on stays as it was."""
    cell = lstm(6)
    params = start(cell, [1, 1], [START.model_copy(update={"forget_bias": b}) for b in (0.0, 30.0)])
    kept = []
    for replica in range(2):
        module, _ = to_torch(cell, params, replica)
        before = torch.full((1, 1, 6), 100.0)  # too much for what a step writes to matter
        _, (_, after) = module(torch.zeros(1, 1, 8), (torch.zeros(1, 1, 6), before))
        kept.append(float((after / before).mean().detach()))
    assert kept[0] == pytest.approx(0.5, abs=0.1)
    assert kept[1] == pytest.approx(1, abs=0.02)
    assert all(torch.equal(v[0], v[1]) for name, v in params.items() if name != "bias_ih")


def lru(hidden=6, r_min=0.6, r_max=0.9, max_phase=1.5):
    ring = {"r_min": r_min, "r_max": r_max, "max_phase": max_phase}
    return LRU(LRU.Knobs(name="lru", hidden_size=hidden, **ring), 8)


def test_the_eigenvalues_of_an_lru_are_uniform_in_their_ring():
    """Orvieto et al. 2023, lemma 3.2: uniform are the square of the modulus, and the phase."""
    params = start(lru(4000), [1], [START])
    nu, theta, gamma = (
        params[f"{name}_log"][0].double() for name in ("nu", "theta", "gamma")
    )  # fmt: skip
    eigenvalues = torch.exp(torch.complex(-nu.exp(), theta.exp()))
    squares = eigenvalues.abs().square()
    assert kstest(squares.numpy(), uniform(0.36, 0.81 - 0.36).cdf).pvalue > 1e-3
    assert kstest(eigenvalues.angle().numpy(), uniform(0, 1.5).cdf).pvalue > 1e-3
    torch.testing.assert_close(gamma.exp(), (1 - squares).sqrt(), rtol=1e-5, atol=0)
    drawn = params["B"].double().flatten() * 4  # of variance 1/2I each, the real and the other part
    assert kstest(drawn.numpy(), "norm").pvalue > 1e-3


def test_an_eigenvalue_at_the_end_of_the_ring_is_finite(monkeypatch):
    cell = lru(6, 0.0, 1.0, 6.283)
    for drawn in (0.0, 1 - 2.0**-24):
        monkeypatch.setattr(torch, "rand", lambda n, drawn=drawn, **_: torch.full((n,), drawn))
        nu = cell._draw_nu({}, None)
        values = [nu, cell._draw_theta({}, None), cell._gamma({"nu_log": nu}, None)]
        assert torch.stack(values).isfinite().all()


def test_an_lrus_recurrence_has_its_own_start_whatever_the_weights_have():
    others = {"recurrent": "orthogonal", "bias": "zeros", "scale": 3.0}
    own = start(lru(), [1], [START])
    again = start(lru(), [1], [START.model_copy(update=others)])
    assert all(torch.equal(own[name], again[name]) for name in lru().weights())
    scaled = start(lru(), [1], [START.model_copy(update={"input_scale": 2.0})])
    assert torch.equal(scaled["B"], 2 * own["B"])
    drawn = start(lru(), [1], [START.model_copy(update={"input": "orthogonal"})])["B"][0]
    torch.testing.assert_close(drawn @ drawn.mT, torch.eye(6), rtol=0, atol=1e-6)
