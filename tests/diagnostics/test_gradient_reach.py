import pytest
import torch

from hw2exp.config.registry import equations
from hw2exp.diagnostics.gradient_reach import lstm_memory, spectral_norms, state_jacobians
from hw2exp.models.cell import Cell, linear, product, unroll
from hw2exp.models.normalization import Norm

MODELS = ["gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm", "gru", "mingru", "lru"]
R, T, B, I, H = 2, 6, 3, 8, 6  # fmt: skip


def small(compose, model, seed=0):
    cell = equations("model", model)(compose(f"model={model}", f"model.hidden_size={H}").model, I)
    generator = torch.Generator().manual_seed(seed)
    params = {
        name: torch.randn(R, *weight.shape, dtype=torch.float64, generator=generator) / 2
        for name, weight in cell.weights().items()
    }
    return cell, params, torch.randn(R, T, B, I, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    "model", ["gated_rnn", "rnn", "lstm", "gru", "lru"]
)  # which hand on their state itself
def test_it_is_the_derivative_by_a_nudge_of_the_state(compose, model):
    """A nudge of one state, handed on by the cell's own step, moves the last state by it."""
    cell, params, x = small(compose, model)
    norm = Norm().forward({}, {})
    jacobians = state_jacobians(cell, params, x)
    assert jacobians.shape == (R, B, T - 1, H, H)
    prepared = cell.prepare(params)
    inputs = [term.unbind(1) for term in cell.project(prepared, x, norm)]

    def last(nudge, at):
        carry = cell.start(prepared, x.new_zeros(R, B, H))
        for t, now in enumerate(zip(*inputs, strict=True)):
            state, carry = cell.step(prepared, now, carry, norm)
            if t == at:
                carry = (state + nudge, *carry[1:])
        return state

    for at in (0, 2, T - 2):
        for j in range(H):
            nudge = torch.zeros(H, dtype=torch.float64)
            nudge[j] = 1e-6
            moved = (last(nudge, at) - last(-nudge, at)) / 2e-6
            torch.testing.assert_close(jacobians[:, :, at, :, j], moved, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_it_is_autograds_jacobian(compose, model):
    cell, params, x = small(compose, model)
    norm = Norm().forward({}, {})
    jacobians = state_jacobians(cell, params, x)
    free = {name: value.requires_grad_() for name, value in params.items()}
    states = unroll(cell, free, x, norm)
    for i in range(H):
        rows = torch.autograd.grad(states[-1][..., i].sum(), states[:-1], retain_graph=True)
        for t, row in enumerate(rows):
            torch.testing.assert_close(jacobians[:, :, t, i], row, rtol=1e-10, atol=1e-12)


def test_the_memory_of_an_lstm(compose):
    """With the forget gate held open and the others shut, c goes through unchanged."""
    cell, params, x = small(compose, "lstm")
    for value in params.values():
        if value.dim() == 3:
            value.zero_()
        else:
            value[:] = torch.tensor([-40.0, 40.0, 0.0, 0.0]).repeat_interleave(H) / 2
    by_memory = state_jacobians(cell, params, x, lstm_memory)
    # h[T] = σ(o) tanh(c[T]) with c[T] = c[t] = 0: half of the identity at every lag
    expected = torch.eye(H, dtype=torch.float64) / 2
    torch.testing.assert_close(by_memory, expected.expand_as(by_memory), rtol=1e-6, atol=1e-6)


class LinearCell(Cell):
    """h[t] = A h[t-1] + W x[t], whose Jacobians are powers of A."""

    def weights(self):
        size = self.hidden_size
        return {
            "A": linear(size, size, "recurrent"),
            "W": linear(size, self.input_size, "input"),
        }

    def project(self, params, x, norm):
        return (product(params["W"], x),)

    def start(self, params, zeros):
        return (zeros,)

    def step(self, params, inputs, carry, norm):
        h = inputs[0] + product(params["A"], carry[0])
        return h, (h,)


def test_a_linear_network_has_powers_of_its_matrix(compose):
    cell = LinearCell(compose("model=rnn", f"model.hidden_size={H}").model, I)
    rotation, _ = torch.linalg.qr(torch.randn(R, H, H, dtype=torch.float64))
    params = {"A": 0.8 * rotation, "W": torch.randn(R, H, I, dtype=torch.float64)}
    x = torch.randn(R, T, B, I, dtype=torch.float64)
    norms = spectral_norms(state_jacobians(cell, params, x))
    expected = 0.8 ** torch.arange(T - 1, 0, -1, dtype=torch.float64)
    torch.testing.assert_close(norms, expected.expand(R, B, -1))


def test_the_norm_of_what_is_not_finite_is_infinite():
    matrices = torch.eye(3).repeat(3, 1, 1)
    matrices[1, 0, 2] = torch.nan
    matrices[2] *= 2
    assert spectral_norms(matrices).tolist() == [1, float("inf"), 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_norm_is_the_largest_singular_value_whatever_the_scale(dtype):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, 50, 16, 16, dtype=torch.float64, generator=generator)
    drawn[1] = drawn[1, :, :, :1] * drawn[1, :, :1]  # of rank 1
    drawn[2] = torch.linalg.matrix_exp(2 * drawn[2])  # singular values far apart
    drawn[3, :25] *= torch.eye(16)
    drawn[3, 0] = 0
    largest = torch.finfo(dtype).max ** 0.9
    tolerance = 20 * torch.finfo(dtype).eps
    for scale in (1 / largest, 1, largest):
        matrices = (drawn / drawn.abs().amax((-2, -1), keepdim=True).clamp(min=1) * scale).to(dtype)
        expected = torch.linalg.svdvals(matrices.double() / scale)[..., 0]
        norms = spectral_norms(matrices).double() / scale
        torch.testing.assert_close(norms, expected, rtol=tolerance, atol=0)
