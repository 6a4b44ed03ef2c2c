"""What cells are tested against: torch's own modules, and attention by its definition."""

from typing import Any

import torch
from torch import Tensor, nn

from hw2exp.models.axes import Params
from hw2exp.models.cell import Cell, product
from hw2exp.models.cells.attn_rnn import score
from hw2exp.models.cells.attn_rnn_inf import AttnRNNInf
from hw2exp.models.cells.gru import GRU
from hw2exp.models.cells.lstm import LSTM
from hw2exp.models.cells.rnn import ElmanRNN

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def from_torch(module: nn.RNNBase, readout: nn.Linear) -> Params:
    """Copy the weights of a one-layer module and of its linear readout.

    Args:
        module: ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` with one layer and one direction.
        readout: the linear layer from the hidden state to the classes.

    Returns:
        Parameters of a fleet of one, each ``(1, ...)``.
    """
    tensors: dict[str, Any] = {name: getattr(module, f"{name}_l0") for name in NAMES}
    tensors |= {"readout_weight": readout.weight, "readout_bias": readout.bias}
    return {name: tensor.detach().clone()[None] for name, tensor in tensors.items()}


def to_torch(cell: Cell, params: Params, replica: int = 0) -> tuple[nn.RNNBase, nn.Linear]:
    """Build torch modules with the weights of one replica.

    Args:
        cell: an ``ElmanRNN``, ``LSTM`` or ``GRU``.
        params: the parameters, each ``(R, ...)``.
        replica: index of the replica.

    Raises:
        TypeError: torch has no module for the cell.
    """
    module: nn.RNNBase
    if isinstance(cell, ElmanRNN) and cell.options.nonlinearity != "sigmoid":
        module = nn.RNN(cell.input_size, cell.hidden_size, nonlinearity=cell.options.nonlinearity)
    elif isinstance(cell, LSTM):
        module = nn.LSTM(cell.input_size, cell.hidden_size)
    elif isinstance(cell, GRU):
        module = nn.GRU(cell.input_size, cell.hidden_size)
    else:
        raise TypeError(f"torch has no module for {type(cell).__name__}")
    classes = params["readout_bias"].shape[1]
    readout = nn.Linear(cell.hidden_size, classes)
    with torch.no_grad():
        for name in NAMES:
            getattr(module, f"{name}_l0").copy_(params[name][replica])
        readout.weight.copy_(params["readout_weight"][replica])
        readout.bias.copy_(params["readout_bias"][replica])
    dtype = params["readout_weight"].dtype
    return module.to(dtype), readout.to(dtype)


def quadratic_states(cell: AttnRNNInf, params: Params, x: Tensor) -> list[Tensor]:
    """Compute the states by definition, O(T²): every step attends to a list of all states.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.

    Returns:
        The hidden state of every time step, T tensors ``(R, B, H)``.
    """
    states: list[Tensor] = []
    for x_t in x.unbind(1):
        sources = [product(params["E"], x_t), *reversed(states)]  # x[t], h[t-1], h[t-2], …
        q, k, v = (torch.stack([product(params[name], s) for s in sources], -2) for name in "QKV")
        a = torch.softmax(score(q, k), -1)  # (R, B, 1+t)
        states.append((a[..., None] * v).sum(-2))  # (R, B, H)
    return states
