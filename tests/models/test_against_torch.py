"""rnn, lstm and gru are torch's; all cells start as torch's modules would."""

import pytest
import torch

from hw2exp.config.groups import Model
from hw2exp.config.schema import Init
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.fleet.state import FleetState
from hw2exp.models.cell import unroll
from hw2exp.models.cells.gru import GRU
from hw2exp.models.cells.lstm import LSTM
from hw2exp.models.cells.rnn import ElmanRNN
from hw2exp.models.cells.rnn import ElmanRNNKnobs as RNNOptions
from hw2exp.models.classifier import Classifier
from hw2exp.models.normalization.protocol import Norm, NormPass
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import PAD
from tests.models.references import from_torch, to_torch

TORCH = Init(
    input="torch",
    recurrent="torch",
    readout="torch",
    bias="torch",
    input_scale=1.0,
    scale=1.0,
    readout_scale=1.0,
    forget_bias=0.0,
)


def cell_and_module(name, hidden):
    if name == "lstm":
        return LSTM(Model(name="lstm", hidden_size=hidden), 8), torch.nn.LSTM(8, hidden)
    if name == "gru":
        return GRU(Model(name="gru", hidden_size=hidden), 8), torch.nn.GRU(8, hidden)
    options = RNNOptions(name="rnn", hidden_size=hidden, nonlinearity=name)
    return ElmanRNN(options, 8), torch.nn.RNN(8, hidden, nonlinearity=name)


@pytest.mark.parametrize("name", ["tanh", "relu", "lstm", "gru"])
def test_states_and_gradients_equal_torchs(name):
    torch.manual_seed(0)
    replicas = []
    for _ in range(3):
        cell, module = cell_and_module(name, 5)
        replicas.append((module.double(), torch.nn.Linear(5, 4).double()))
    params = [from_torch(module, readout) for module, readout in replicas]
    fleet = {key: torch.cat([own[key] for own in params]).requires_grad_() for key in params[0]}
    x = torch.randn(3, 11, 7, 8, dtype=torch.float64)  # (R, T, B, I)
    states = torch.stack(unroll(cell, fleet, x, NormPass()), 1)  # (R, T, B, H)
    weight = torch.randn_like(states)
    grads = torch.autograd.grad((states * weight).sum(), [fleet[k] for k in cell.weights()])
    for replica, (module, _) in enumerate(replicas):
        expected, _ = module(x[replica])  # (T, B, H)
        torch.testing.assert_close(states[replica], expected, rtol=1e-12, atol=1e-12)
        (expected * weight[replica]).sum().backward()
        for key, grad in zip(cell.weights(), grads, strict=True):
            theirs = getattr(module, f"{key}_l0").grad
            torch.testing.assert_close(grad[replica], theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_200_steps_of_adam_equal_torchs(compose, name):
    """A network of torch's modules on the same batches, in float64."""
    words = f"model={name}", "task=easy", "optimizer=adam", "optimizer.lr=0.01", "batch_size=8"
    fleet = Fleet([compose(*words, "clip=none", "schedule=constant")], compiled=False)
    rows = fleet.state.params.double()
    states = fleet.optimizer.init(rows), fleet.clip.init(rows), fleet.schedule.init(1)
    fleet.state = FleetState.initial(rows, *states)
    module, readout = (own.double() for own in to_torch(fleet.model.cell, fleet.params))
    adam = torch.optim.Adam([*module.parameters(), *readout.parameters()], lr=0.01)
    one_hot = torch.eye(PAD + 1, PAD, dtype=torch.float64)
    for step in range(1, 201):
        symbols, labels = fleet.batch(step, TRAIN, 8)
        logits = readout(module(one_hot[symbols[0].long().T])[0][-1])
        adam.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels[0].long()).backward()
        adam.step()
        train_step(fleet, step)
    for key, theirs in from_torch(module, readout).items():
        torch.testing.assert_close(fleet.params[key][0], theirs[0], rtol=1e-9, atol=1e-11)
    assert not torch.allclose(fleet.state.params, rows, atol=0.1)


def test_a_sigmoid_network_is_half_of_a_tanh_network_and_a_half():
    """σ(z) = (1 + tanh(z/2)) / 2: torch has no module with a sigmoid, but one with tanh."""
    cell = ElmanRNN(RNNOptions(name="rnn", hidden_size=5, nonlinearity="sigmoid"), 8)
    module = torch.nn.RNN(8, 5).double()
    params = from_torch(module, torch.nn.Linear(5, 4).double())
    x = torch.randn(1, 11, 7, 8, dtype=torch.float64)  # (R, T, B, I)
    states = torch.stack(unroll(cell, params, x, NormPass()), 1)  # (R, T, B, H)
    with torch.no_grad():  # of g = 2h - 1, which starts at -1
        module.weight_ih_l0 *= 0.5
        module.weight_hh_l0 *= 0.25
        module.bias_ih_l0.copy_(0.5 * module.bias_ih_l0 + module.weight_hh_l0.sum(1))
        module.bias_hh_l0 *= 0.5
        expected, _ = module(x[0], torch.full((1, 7, 5), -1.0, dtype=torch.float64))
    torch.testing.assert_close(states[0], (1 + expected) / 2, rtol=1e-12, atol=1e-12)
    with pytest.raises(TypeError, match="no module"):
        to_torch(cell, params)


@pytest.mark.parametrize("name", ["relu", "lstm", "gru"])
def test_weights_go_to_torch_and_back(name):
    cell, _ = cell_and_module(name, 6)
    model = Classifier(cell, Norm(), 9)
    params = model.initialize([TORCH] * 2, [3, 4])
    module, readout = to_torch(cell, params, replica=1)
    again = from_torch(module, readout)
    assert again.keys() == params.keys()
    assert all(torch.equal(again[key][0], params[key][1]) for key in params)
    x = torch.randn(2, 9, 5, 8)
    mine = unroll(cell, params, x, NormPass())[-1][1]
    torch.testing.assert_close(mine, module(x[1])[0][-1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "lstm", "gru"])
@pytest.mark.parametrize("hidden", [4, 12, 16, 7])
def test_a_seed_draws_what_torch_draws(name, hidden):
    cell, _ = cell_and_module(name, hidden)
    params = Classifier(cell, Norm(), 9).initialize([TORCH], [1])
    torch.manual_seed(1)
    _, module = cell_and_module(name, hidden)
    theirs = from_torch(module, torch.nn.Linear(hidden, 4))
    assert all(torch.equal(params[key], theirs[key]) for key in theirs)
