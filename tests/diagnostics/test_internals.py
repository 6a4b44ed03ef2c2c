import pytest
import torch

from hw2exp.diagnostics.internals import internals
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.cell import product
from hw2exp.tasks.temporal_order import PAD
from tests.models.references import quadratic_states

MODELS = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm", "gru", "mingru")


@pytest.fixture
def look(compose):
    def look(*words, seeds=(0, 1, 2)):
        config = compose("task=easy", "batch_size=5", *words)
        fleet = Fleet([config.model_copy(update={"seed": seed}) for seed in seeds])
        symbols, _ = fleet.batch(1, 0, 5)
        return fleet, symbols, internals(fleet.model, fleet.params, symbols)

    return look


def vectors(fleet, symbols):
    return fleet.model.one_hot[symbols.mT.long()]  # (R, T, B, I)


def test_the_gates_of_the_gated_rnn_are_those_of_its_equations(look):
    fleet, symbols, found = look("model=gated_rnn", "init.scale=4")
    params, x = fleet.params, vectors(fleet, symbols)
    for r in range(3):
        gates = []
        for b in range(5):
            h = torch.zeros(16)
            for t in range(x.shape[1]):
                c = torch.sigmoid(params["W_c"][r] @ x[r, t, b] + params["W_h"][r] @ h)
                h = c * h + (1 - c) * (params["W_x"][r] @ x[r, t, b])
                if symbols[r, b, t] != PAD:
                    gates.append(c)
        gates = torch.stack(gates)
        torch.testing.assert_close(found.gate_mean[r].float(), gates.mean())
        saturated = ((gates < 0.05) | (gates > 0.95)).float().mean()
        torch.testing.assert_close(found.gate_saturated[r].float(), saturated)


def test_the_forget_gate_of_the_lstm_is_torchs(look):
    fleet, symbols, found = look("model=lstm", "init.forget_bias=2", seeds=(4,))
    cell = torch.nn.LSTMCell(8, 16)
    cell.load_state_dict({name: fleet.params[name][0] for name in cell.state_dict()})
    x = vectors(fleet, symbols)[0]
    h = c = torch.zeros(5, 16)
    gates = []
    with torch.no_grad():
        for t in range(len(x)):
            z = x[t] @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
            gates.append(torch.sigmoid(z[:, 16:32])[symbols[0, :, t] != PAD])
            h, c = cell(x[t], (h, c))
    torch.testing.assert_close(found.gate_mean[0].float(), torch.cat(gates).mean())


def test_the_update_gate_of_the_gru_is_that_along_torchs_states(look):
    fleet, symbols, found = look("model=gru", "init.scale=2", seeds=(4,))
    cell = torch.nn.GRUCell(8, 16)
    cell.load_state_dict({name: fleet.params[name][0] for name in cell.state_dict()})
    x, h, gates = vectors(fleet, symbols)[0], torch.zeros(5, 16), []
    for x_t, shown in zip(x, symbols[0].T != PAD, strict=True):
        weight = cell.weight_ih[16:32], cell.weight_hh[16:32]
        drive = x_t @ weight[0].T + h @ weight[1].T + cell.bias_ih[16:32] + cell.bias_hh[16:32]
        gates.append(torch.sigmoid(drive.detach())[shown])
        h = cell(x_t, h).detach()
    torch.testing.assert_close(found.gate_mean[0].float(), torch.cat(gates).mean())


def test_the_gate_of_the_mingru_is_one_minus_z(look):
    fleet, symbols, found = look("model=mingru", "init.input_scale=2", seeds=(4,))
    z = torch.sigmoid(vectors(fleet, symbols)[0] @ fleet.params["W_z"][0].T)  # (T, B, H)
    expected = (1 - z)[symbols[0].T != PAD].mean()
    torch.testing.assert_close(found.gate_mean[0].float(), expected)


def attention(fleet, symbols, r, lags, shared):
    """Weights of the input and of each lag, from the write-up's formulas, one vector at a time."""
    params = {name: value[r].double() for name, value in fleet.params.items()}
    x = vectors(fleet, symbols)[r].double()
    rows, largest = [], 0.0
    for b in range(5):
        states = []
        for t in range(x.shape[0]):
            names = ["" if shared else f"_{i}" for i in range(lags + 1)]
            source = params["E"] @ x[t, b] if shared else x[t, b]
            seen = [source, *states[::-1][:lags]]
            if not shared:
                seen += [torch.zeros(16).double()] * (lags + 1 - len(seen))
            q, k, v = (
                torch.stack([params[f"{m}{n}"] @ s for n, s in zip(names, seen, strict=False)])
                for m in "QKV"
            )
            w = (q * k).sum(1)
            a = torch.softmax(w, 0)
            states.append(a @ v)
            largest = max(largest, float(w.abs().max()))
            if symbols[r, b, t] != PAD:
                rows.append(torch.cat([a, torch.zeros(lags + 1 - len(a)).double()]))
    return torch.stack(rows), largest


@pytest.mark.parametrize(("model", "lags"), [("attn_rnn", 2), ("attn_rnn", 3), ("attn_rnn_inf", 8)])
def test_attention_is_that_of_the_equations(look, model, lags):
    words = [f"model.lags={lags}"] * (model == "attn_rnn")
    fleet, symbols, found = look(f"model={model}", *words, "init.scale=3")
    assert symbols.shape[2] == 9
    for r in range(3):
        a, largest = attention(fleet, symbols, r, lags, shared=model == "attn_rnn_inf")
        torch.testing.assert_close(found.attention[r], a.mean(0), rtol=1e-4, atol=1e-6)
        entropy = -torch.xlogy(a, a).sum(1).mean()
        torch.testing.assert_close(found.attention_entropy[r], entropy, rtol=1e-4, atol=1e-6)
        assert float(found.score_size[r]) == pytest.approx(largest, rel=1e-3)


def test_the_scores_of_all_lags_give_the_states_of_the_definition(compose):
    fleet = Fleet([compose("model=attn_rnn_inf", "task=easy")])
    symbols, _ = fleet.batch(1, 0, 4)
    states = quadratic_states(fleet.model.cell, fleet.params, vectors(fleet, symbols))
    logits = product(fleet.params["readout_weight"], states[-1], fleet.params["readout_bias"])
    found = internals(fleet.model, fleet.params, symbols)
    torch.testing.assert_close(found.logit_size[0].float(), logits.square().mean().sqrt())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_replica_is_seen_the_same_alone_and_in_a_fleet(look, model, norm):
    words = f"model={model}", f"norm={norm}"
    _, _, together = look(*words)
    for place in range(3):
        _, _, alone = look(*words, seeds=(place,))
        for name, value in vars(alone).items():
            if value is not None:
                assert torch.equal(value[0], vars(together)[name][place]), name
