from functools import cache

import pytest
import torch

from hw2exp.config.registry import equations
from hw2exp.diagnostics import all_steps, lyapunov
from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.gradient_reach import spectral_norms, state_jacobians
from hw2exp.diagnostics.jacobian import jacobian_growth
from hw2exp.diagnostics.lyapunov import largest_exponents
from hw2exp.diagnostics.trajectory import NO_NORM, trajectory
from hw2exp.fleet.evaluation import population_statistics
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.cell import Cell, linear, product, unroll
from hw2exp.models.hyperparameters import build
from hw2exp.models.stretching import numbers, orthonormal_directions
from hw2exp.tasks.task import CHECK
from hw2exp.theory import attention_rnn

MODELS = ["gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm", "gru", "mingru", "lru"]
NORMS = [
    ("gated_rnn", "batch"),
    ("attn_rnn", "batch"),
    ("attn_rnn", "qk"),
    ("attn_rnn_inf", "layer"),
    ("lstm", "batch"),
    ("rnn", "layer"),
]
WITH_AND_WITHOUT_NORM = [(f"model={model}",) for model in MODELS] + [
    (f"model={model}", f"norm={kind}") for model, kind in NORMS
]
R, T, B, I, H = 2, 6, 3, 8, 4  # fmt: skip


@pytest.fixture(scope="module")
def compose(compose):
    """Most of what these tests would take is composing the same configs."""
    return cache(compose)


@torch.no_grad()
def record(cell, params, x, norm_pass):
    return trajectory(cell, params, x, norm_pass).recorded()


def step_jacobians(cell, params, x, norm_pass=NO_NORM):
    return AllSteps(record(cell, params, x, norm_pass)).state_jacobians()


def carry_jacobians(cell, params, x, norm_pass=NO_NORM):
    return AllSteps(record(cell, params, x, norm_pass)).carry_rows().matrices()


def lyapunov_exponent(cell, params, x, norm_pass=NO_NORM, **options):
    return largest_exponents(record(cell, params, x, norm_pass), **options)


def lyapunov_exponents(cell, params, x, **options):
    return lyapunov.lyapunov_exponents(record(cell, params, x, NO_NORM), **options)


def draw(cell, generator):
    return {
        name: torch.randn(R, *weight.shape, dtype=torch.float64, generator=generator) / 2
        for name, weight in cell.weights().items()
    }


def small(compose, model):
    cell = equations("model", model)(compose(f"model={model}", f"model.hidden_size={H}").model, I)
    generator = torch.Generator().manual_seed(0)
    params = draw(cell, generator)
    return cell, params, torch.randn(R, T, B, I, dtype=torch.float64, generator=generator)


def alone(cell, params, x, r, b):
    """One sequence of one replica: its own parameters, its inputs and what each step hands on."""
    own = cell.prepare({name: value[r : r + 1] for name, value in params.items()})
    inputs = cell.project(own, x[r : r + 1, :, b : b + 1], NO_NORM)
    carries = [cell.start(own, x.new_zeros(1, 1, cell.hidden_size))]
    for t in range(T):
        now = tuple(term[:, t] for term in inputs)
        carries.append(cell.step(own, now, carries[-1], NO_NORM)[1])
    return own, inputs, carries


@pytest.mark.parametrize("model", MODELS)
def test_what_is_handed_on_has_the_jacobian_of_torchs_own_function(compose, model):
    cell, params, x = small(compose, model)
    jacobians = carry_jacobians(cell, params, x)
    for r, b in ((0, 2), (1, 0)):
        own, inputs, carries = alone(cell, params, x, r, b)
        for t in range(1, T):
            shapes = [part.shape for part in carries[t]]

            def step(flat, t=t, own=own, inputs=inputs, shapes=shapes):
                parts = flat.split([shape.numel() for shape in shapes])
                carry = tuple(p.view(s) for p, s in zip(parts, shapes, strict=True))
                now = tuple(term[:, t] for term in inputs)
                return numbers(cell.step(own, now, carry, NO_NORM)[1])[0, 0]

            expected = torch.autograd.functional.jacobian(step, numbers(carries[t])[0, 0])
            torch.testing.assert_close(jacobians[r, b, t - 1], expected, rtol=1e-12, atol=1e-14)


def lstm_step(params, r, drive, h, c):
    i, f, g, o = (drive + params["weight_hh"][r] @ h).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("model", ["gated_rnn", "rnn", "lstm"])
def test_a_step_has_the_jacobian_of_its_equations_written_plainly(compose, model):
    cell, params, x = small(compose, model)
    jacobians = step_jacobians(cell, params, x)
    assert jacobians.shape == (R, B, T - 1, H, H)
    for r, b in ((0, 1), (1, 2)):
        own, h = {name: value[r] for name, value in params.items()}, x.new_zeros(H)
        c = h
        for t in range(T):

            def step(h, t=t, c=c, own=own, r=r, b=b):
                x_t = x[r, t, b]
                if model == "gated_rnn":
                    gate = torch.sigmoid(own["W_c"] @ x_t + own["W_h"] @ h)
                    return gate * h + (1 - gate) * (own["W_x"] @ x_t)
                drive = own["weight_ih"] @ x_t + own["bias_ih"] + own["bias_hh"]
                if model == "rnn":
                    return torch.tanh(drive + own["weight_hh"] @ h)
                return lstm_step(params, r, drive, h, c)

            if t:
                expected = torch.autograd.functional.jacobian(step, h)
                expected = expected[0] if model == "lstm" else expected
                torch.testing.assert_close(jacobians[r, b, t - 1], expected)
            h, c = step(h) if model == "lstm" else (step(h), c)


@pytest.mark.parametrize("model", ["attn_rnn", "attn_rnn_inf"])
def test_an_attention_step_has_the_jacobian_of_the_write_up(compose, model):
    """Part 1.2.2 (e): a_1 V_1 + a_1 (v_1 - h[t]) (k_1ᵀ Q_1 + q_1ᵀ K_1), and autograd's."""
    cell, params, x = small(compose, model)
    jacobians = step_jacobians(cell, params, x)
    for r in range(R):
        for b in range(B):
            own = {name: value[r] for name, value in params.items()}
            sequence = list(x[r, :, b])
            if model == "attn_rnn":
                steps = attention_rnn.run(own, sequence, cell.options.lags)
            else:
                steps = attention_rnn.run_endless(own, sequence)
                own = attention_rnn.shared(own, T)
            for t in range(1, T):
                formula = attention_rnn.state_jacobian(own, steps[t], 1)
                torch.testing.assert_close(jacobians[r, b, t - 1], formula)

                def step(h, t=t, own=own, steps=steps):
                    x_t, _, *older = steps[t].sources
                    return attention_rnn.step(own, [x_t, h, *older]).after

                plain = torch.autograd.functional.jacobian(step, steps[t].sources[1])
                torch.testing.assert_close(jacobians[r, b, t - 1], plain)


@pytest.mark.parametrize("model", ["gated_rnn", "rnn"])
def test_the_product_of_the_steps_is_the_total_derivative(compose, model):
    """Where the state is all that is handed on; and that has the same Jacobians."""
    cell, params, x = small(compose, model)
    steps, totals = step_jacobians(cell, params, x), state_jacobians(cell, params, x)
    torch.testing.assert_close(carry_jacobians(cell, params, x), steps)
    running = torch.eye(H, dtype=torch.float64)
    for t in reversed(range(T - 1)):
        running = running @ steps[:, :, t]
        torch.testing.assert_close(totals[:, :, t], running)


@pytest.mark.parametrize(("model", "kind"), NORMS, ids=" ".join)
def test_a_norm_acts_in_every_derivative(compose, model, kind):
    cell = equations("model", model)(compose(f"model={model}", f"model.hidden_size={H}").model, I)
    built = build("norm", [compose(f"model={model}", f"norm={kind}").norm] * R)
    generator = torch.Generator().manual_seed(1)
    params = draw(cell, generator)
    params |= {
        name: torch.rand(R, *gain.shape, dtype=torch.float64, generator=generator) + 0.5
        for name, gain in built.gains(cell.terms()).items()
    }
    statistics = {
        f"{name}.{of}": torch.rand(R, T, *term.shape, dtype=torch.float64, generator=generator)
        + 0.5
        for name, term in cell.terms().items()
        for of in ("mean", "variance")
    }
    x = torch.randn(R, T, B, I, dtype=torch.float64, generator=generator)
    once = built.forward(params, cell.terms(), statistics)  # stays at its beginning
    totals = state_jacobians(cell, params, x, norm_pass=once)
    steps = step_jacobians(cell, params, x, once)
    free = {name: value.requires_grad_() for name, value in params.items()}
    for last in range(1, T):  # of a sequence that ends there the last step is the total derivative
        until = {name: value[:, : last + 1] for name, value in statistics.items()}
        norm_pass = built.forward(params, cell.terms(), until)
        states = unroll(cell, free, x[:, : last + 1], norm_pass)
        for i in range(H):
            rows = torch.autograd.grad(states[-1][..., i].sum(), states[:-1], retain_graph=True)
            torch.testing.assert_close(steps[:, :, last - 1, i], rows[-1])
    torch.testing.assert_close(totals[:, :, :, H - 1], torch.stack(rows, 2))
    exponents = lyapunov_exponent(cell, params, x, once)[..., 0]
    torch.testing.assert_close(exponents, by_products(carry_jacobians(cell, params, x, once)))


def by_products(jacobians, skipped=(T - 1) // 2, start=None):
    """The growth of a direction, by default the first, moved by the matrices themselves."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(jacobians.shape[-1], generator=generator, dtype=torch.float64)
    direction = direction if start is None else start
    direction = direction / direction.norm()
    moved, lengths = direction.expand(R, B, -1)[..., None], []
    for t in range(T - 1):
        moved = jacobians[:, :, t] @ moved
        lengths.append(moved.norm(dim=(-2, -1)).log())
    return (lengths[-1] - lengths[skipped - 1]) / (T - 1 - skipped)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("few", [0, 80], ids=["moved", "matrices"])
def test_the_largest_exponent_is_the_growth_under_the_jacobians(compose, model, few, monkeypatch):
    monkeypatch.setattr(lyapunov, "FEW", few)
    cell, params, x = small(compose, model)
    exponents = lyapunov_exponent(cell, params, x)
    jacobians = carry_jacobians(cell, params, x)
    assert exponents.shape == (R, B, min(lyapunov.STARTS, jacobians.shape[-1]))
    assert exponents.isfinite().all()
    starts = orthonormal_directions(jacobians.shape[-1], exponents.shape[-1])
    for n, start in enumerate(starts.T):  # each start by itself
        torch.testing.assert_close(exponents[..., n], by_products(jacobians, start=start))
    torch.testing.assert_close(exponents[..., 0], by_products(jacobians))
    spectrum = lyapunov_exponents(cell, params, x)
    torch.testing.assert_close(spectrum[..., 0], exponents[..., 0])
    assert not spectrum.isnan().any()


class LinearCell(Cell):
    """h[t] = A h[t-1] + W x[t], whose exponents are the logarithms of A's eigenvalues."""

    def weights(self):
        size = self.hidden_size
        return {"A": linear(size, size, "recurrent"), "W": linear(size, I, "input")}

    def project(self, params, x, norm):
        return (product(params["W"], x),)

    def start(self, params, zeros):
        return (zeros,)

    def step(self, params, inputs, carry, norm):
        h = inputs[0] + product(params["A"], carry[0])
        return h, (h,)


def linear_network(compose, matrices, steps):
    cell = LinearCell(compose("model=rnn", f"model.hidden_size={H}").model, I)
    generator = torch.Generator().manual_seed(2)
    W = torch.randn(len(matrices), H, I, dtype=torch.float64, generator=generator)
    x = torch.randn(len(matrices), steps, B, I, dtype=torch.float64, generator=generator)
    return cell, {"A": matrices, "W": W}, x


def test_a_linear_network_has_the_logarithms_of_its_eigenvalues(compose):
    eigenvalues = torch.tensor([[1.5, 0.9, -0.4, 0.1], [-0.8, 0.5, 0.2, 0.05]]).double()
    P = torch.randn(R, H, H, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    A = P @ eigenvalues.diag_embed() @ torch.linalg.inv(P)
    cell, params, x = linear_network(compose, A, steps=120)
    spectrum = lyapunov_exponents(cell, params, x, transient=50)
    expected = eigenvalues.abs().log()[:, None].expand(R, B, H)
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-6)
    few = lyapunov_exponents(cell, params, x, transient=50, count=2)
    torch.testing.assert_close(few, spectrum[..., :2])
    near = lyapunov_exponents(cell, params, x, transient=0)
    assert (near - expected).abs().max() > 1e-3  # a transient that counts is seen


def test_a_scaled_rotation_has_one_exponent_from_the_first_step_on(compose):
    rotation, _ = torch.linalg.qr(torch.randn(R, H, H, dtype=torch.float64))
    scale = torch.tensor([0.7, 1.3], dtype=torch.float64)
    cell, params, x = linear_network(compose, scale[:, None, None] * rotation, steps=4)
    expected = scale.log()[:, None, None].expand(R, B, H)
    torch.testing.assert_close(lyapunov_exponents(cell, params, x, transient=0), expected)


def test_a_lost_direction_is_minus_infinity_and_the_others_are_not(compose):
    A = torch.diag_embed(torch.tensor([[0.5, 0.0, 0.0, 0.0]] * R, dtype=torch.float64))
    cell, params, x = linear_network(compose, A, steps=9)
    spectrum = lyapunov_exponents(cell, params, x)
    torch.testing.assert_close(spectrum[..., 0], torch.full((R, B), 0.5).double().log())
    assert spectrum[..., 1:].isneginf().all()
    params["A"] = torch.zeros_like(A)
    assert lyapunov_exponents(cell, params, x).isneginf().all()


class GrowthByInput(LinearCell):
    """h[t] = a(x[t]) h[t-1]: an exponent that says which steps were counted."""

    def step(self, params, inputs, carry, norm):
        h = inputs[0][..., :1] * carry[0]
        return h, (h,)


def test_padding_and_the_transient_after_it_are_not_counted(compose):
    cell = GrowthByInput(compose("model=rnn", f"model.hidden_size={H}").model, I)
    rates = torch.tensor([9.0, 9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 4.0]).log().double()
    x = rates.exp().view(1, 8, 1, 1).repeat(1, 1, 4, I)
    x[:, :3, 0] = 0  # padding, then 9 | 2 2 2 4: the first symbol and a half of the others
    x[:, :7, 2] = 0  # a single symbol
    params = {"W": torch.eye(H, I)[None].double(), "A": torch.zeros(1, H, H).double()}
    (exponents,) = lyapunov_exponent(cell, params, x, transient=9)[..., 0]
    torch.testing.assert_close(exponents[0], rates[6:].mean())
    torch.testing.assert_close(exponents[1], rates[4:].mean())  # 3 of 7 are skipped
    assert exponents[2].isnan()
    (exponents,) = lyapunov_exponent(cell, params, x, transient=0)[..., 0]
    torch.testing.assert_close(exponents[0], rates[4:].mean())
    torch.testing.assert_close(exponents[1], rates[1:].mean())
    (only_padding,) = lyapunov_exponent(cell, params, torch.zeros_like(x), transient=0)
    assert only_padding.isneginf().all()


def test_growth_is_counted_from_the_seventh_symbol_on(compose):
    """The first symbol ends no step between symbols, and five steps turn the directions."""
    assert lyapunov.TRANSIENT == 5
    cell = GrowthByInput(compose("model=rnn", f"model.hidden_size={H}").model, I)
    rates = torch.arange(1.0, 21.0).log().double()
    x = rates.exp().view(1, 20, 1, 1).repeat(1, 1, 2, I)
    x[:, :4, 0] = 0  # padding
    params = {"W": torch.eye(H, I)[None].double(), "A": torch.zeros(1, H, H).double()}
    (exponents,) = lyapunov_exponent(cell, params, x)[..., 0]
    torch.testing.assert_close(exponents, torch.stack([rates[10:].mean(), rates[6:].mean()]))


@pytest.mark.parametrize(("steps", "signed"), [(20, False), (4_000, True)])
def test_an_exponent_near_zero_has_a_sign_only_where_it_exceeds_the_spread(compose, steps, signed):
    """Its state grows by 1.002 a step, along one direction of four, and by 1/1.002 along others."""
    size = 0.002
    A = torch.diag_embed(torch.tensor([[size, -size, -size, -size]] * R).double().exp())
    cell, params, x = linear_network(compose, A, steps)
    exponents = lyapunov_exponent(cell, params, x)
    spread = (exponents - exponents.mean(-1, keepdim=True)).abs().amax(-1)
    assert ((exponents > 0).all(-1) | (exponents < 0).all(-1)).eq(signed).all()
    assert (exponents.mean(-1).abs() > spread).eq(signed).all()
    if signed:
        torch.testing.assert_close(exponents, torch.full_like(exponents, size), rtol=0.3, atol=0)


class Memoryless(LinearCell):
    """Its state depends on the input alone; it hands on a counter too."""

    def start(self, params, zeros):
        return zeros, torch.zeros(zeros.shape[:2], dtype=torch.int64)

    def step(self, params, inputs, carry, norm):
        return inputs[0], (inputs[0], carry[1] + 1)


class Growing(LinearCell):
    """Hands on all states."""

    def step(self, params, inputs, carry, norm):
        h = inputs[0] + carry[0][..., :H]
        return h, (torch.cat((h, carry[0]), -1),)


def test_a_cell_without_memory_has_none_and_counters_are_left_alone(compose):
    _, params, x = linear_network(compose, torch.eye(H).double().repeat(R, 1, 1), steps=5)
    cell = Memoryless(compose("model=rnn", f"model.hidden_size={H}").model, I)
    for jacobians in (step_jacobians(cell, params, x), carry_jacobians(cell, params, x)):
        assert torch.equal(jacobians, torch.zeros(R, B, 4, H, H).double())
    assert lyapunov_exponents(cell, params, x).isneginf().all()


def test_a_cell_that_hands_on_more_and_more_is_refused(compose):
    _, params, x = linear_network(compose, torch.eye(H).double().repeat(R, 1, 1), steps=5)
    cell = Growing(compose("model=rnn", f"model.hidden_size={H}").model, I)
    for function in (step_jacobians, carry_jacobians, lyapunov_exponents):
        with pytest.raises(ValueError, match="Growing: what a step hands on changes its shape"):
            function(cell, params, x)


def test_the_norm_of_what_is_not_finite_is_infinite():
    matrices = torch.diag(torch.tensor([3.0, 0.0, 2.0])).repeat(3, 1, 1)
    matrices[1, 0, 2], matrices[2, 1, 1] = torch.nan, torch.inf
    assert spectral_norms(matrices).tolist() == [3, float("inf"), float("inf")]


def fleet_of(compose, *overrides):
    words = (*overrides, "model.hidden_size=16", "task=easy")
    fleet = Fleet([compose(*words).model_copy(update={"seed": seed}) for seed in range(3)])
    params = fleet.model.initialize([c.init for c in fleet.configs], fleet.seeds.tolist())
    symbols, _ = fleet.task.batch(fleet.seeds, 0, 2, CHECK)
    return fleet, params, torch.from_numpy(symbols)


def assert_same_bits(one, other):
    for name, value in vars(one).items():
        assert torch.equal(value, vars(other)[name]), name


MANY_LAGS = ("model=attn_rnn", "model.lags=3")
"""Which hands on more than a step's whole matrix is made for."""


@pytest.mark.parametrize("overrides", [*WITH_AND_WITHOUT_NORM, MANY_LAGS], ids=" ".join)
def test_a_replica_has_the_same_bits_alone_and_in_a_fleet(compose, overrides):
    fleet, params, all_symbols = fleet_of(compose, *overrides)
    last = slice(2, 3)
    alone = Fleet([fleet.configs[2]]).model
    statistics = population_statistics(fleet, 1)
    own_params, own_statistics = (
        {name: value[last] for name, value in tensors.items()}
        for tensors in (params, statistics or {})
    )
    for sequences in (1, 2):
        symbols = all_symbols[:, :sequences]
        together = jacobian_growth(fleet.model, params, symbols, statistics)
        steps = symbols.shape[2] - 1
        assert together.step.shape == together.product.shape == (3, steps)
        assert together.exponent.shape == (3,)
        own = jacobian_growth(alone, own_params, symbols[last], own_statistics)
        for name, value in vars(own).items():
            seen = vars(together)[name]
            assert seen.dtype == torch.float32
            assert seen.isfinite().all()
            assert torch.equal(value, seen[last]), (name, sequences)


@pytest.mark.parametrize("overrides", WITH_AND_WITHOUT_NORM, ids=" ".join)
def test_the_bits_do_not_depend_on_how_many_rows_are_made_at_once(compose, overrides, monkeypatch):
    fleet, params, symbols = fleet_of(compose, *overrides)
    looks, copies = [], []
    own = all_steps.AllSteps._copies
    monkeypatch.setattr(
        all_steps.AllSteps, "_copies", lambda *given: copies.append(own(*given)) or copies[-1]
    )
    some = 5 * symbols.numel() * 16  # of the states' Jacobians 5 rows
    for elements in (1, some, 1 << 30):
        monkeypatch.setattr(all_steps, "AT_ONCE", elements)
        looks.append(jacobian_growth(fleet.model, params, symbols, population_statistics(fleet, 1)))
    assert copies[::2] == [1, 5, 16]
    assert_same_bits(looks[0], looks[1])
    assert_same_bits(looks[0], looks[2])


def test_what_a_look_shows_are_means_over_the_sequences(compose):
    fleet, params, symbols = fleet_of(compose, "model=lstm")
    cell, params = fleet.model.cell, {name: value.double() for name, value in params.items()}
    growth = jacobian_growth(fleet.model, params, symbols)
    x = fleet.model.input_vectors(symbols, torch.float64)
    for shown, jacobians in (
        (growth.step, step_jacobians(cell, params, x)),
        (growth.product, state_jacobians(cell, params, x)),
    ):
        norms = torch.linalg.matrix_norm(jacobians, 2)
        torch.testing.assert_close(shown, (norms[:, 0] * norms[:, 1]).sqrt())
    each = lyapunov_exponent(cell, params, x).mean(1)  # (R, n)
    torch.testing.assert_close(growth.exponent, each.mean(1))
    assert growth.spread.gt(0).all()
    torch.testing.assert_close(growth.spread, (each - growth.exponent[:, None]).abs().amax(1))


def test_where_all_directions_are_lost_the_exponent_is_minus_infinity_without_a_spread(compose):
    fleet, params, symbols = fleet_of(compose, "model=rnn")
    params["weight_hh"] = torch.zeros_like(params["weight_hh"])
    growth = jacobian_growth(fleet.model, params, symbols)
    assert growth.exponent.isneginf().all()
    assert growth.spread.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("gated_rnn", torch.inf),
        ("attn_rnn", torch.nan),
        ("attn_rnn_inf", torch.inf),
        ("rnn", torch.nan),
        ("lstm", -torch.inf),
    ],
)
def test_what_is_not_finite_is_infinite_and_stays_in_its_replica(compose, model, value):
    fleet, params, symbols = fleet_of(compose, f"model={model}")
    sound = jacobian_growth(fleet.model, params, symbols)
    for weights in params.values():
        weights[1] = value
    growth = jacobian_growth(fleet.model, params, symbols)
    for name, seen in vars(growth).items():
        assert seen[1].isposinf().all(), name
        assert torch.equal(seen[::2], vars(sound)[name][::2]), name


def test_a_look_leaves_no_trace(compose):
    fleet, params, symbols = fleet_of(compose, "model=lstm", "norm=batch")
    free = {name: value.requires_grad_() for name, value in params.items()}
    before = {name: value.clone() for name, value in params.items()}
    state = torch.get_rng_state()
    first = jacobian_growth(fleet.model, free, symbols, population_statistics(fleet, 1))
    with torch.no_grad():
        second = jacobian_growth(fleet.model, free, symbols, population_statistics(fleet, 1))
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert_same_bits(first, second)
    assert not any(value.requires_grad for value in vars(first).values())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(value.grad is None for value in free.values())
    for name, value in before.items():
        assert torch.equal(value, params[name]), name
