"""A cell between an input of symbols and a linear readout of the last state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hw2exp.axes import Params, State
from hw2exp.config.schema import Init
from hw2exp.models.cell import Cell, Weight, linear, product, unroll
from hw2exp.models.initialization import initialize
from hw2exp.stabilizers.norm import NoNorm, Norm
from hw2exp.task import CLASSES, PAD

if TYPE_CHECKING:
    from hw2exp.closed_form.scan import Scan


class Classifier:
    """Reads a sequence of symbols and scores the four classes at its last position.

    Args:
        cell: the recurrent cell.
        norm: the normalization inside the cell.
        time_steps: padded length of a sequence, T.
        device: where the tensors go.
        closed_form: run the cell by its closed form where it has one: on the CPU, without a norm.
    """

    def __init__(
        self,
        cell: Cell,
        norm: Norm,
        time_steps: int,
        device: torch.device | str = "cpu",
        closed_form: bool = True,
    ) -> None:
        self.cell = cell
        self.norm = norm
        self.time_steps = time_steps
        self.device = device
        self.one_hot = torch.eye(PAD + 1, PAD, device=device)  # padding's row is zero
        self.scan: Scan | None = None
        if closed_form and isinstance(norm, NoNorm) and torch.device(device).type == "cpu":
            self.scan = _scan(cell)

    def weights(self) -> dict[str, Weight]:
        """The cell's parameters, then the readout's."""
        hidden, classes = self.cell.hidden_size, len(CLASSES)
        return self.cell.weights() | {
            "readout_weight": linear(classes, hidden, "readout"),
            "readout_bias": Weight((classes,), "readout_bias", fan=hidden),
        }

    def initialize(self, init: Sequence[Init], seeds: Sequence[int]) -> Params:
        """Draw the parameters of every replica, and set the normalization's gains.

        Args:
            init: the ``init`` section of each replica, length R.
            seeds: one seed a replica, length R.
        """
        drawn = initialize(self.weights(), init, seeds)
        gains = {
            name: gain.start.float().reshape(-1, *[1] * len(gain.shape)).repeat(1, *gain.shape)
            for name, gain in self.norm.gains(self.cell.terms()).items()
        }
        return {name: value.to(self.device) for name, value in (drawn | gains).items()}

    def buffers(self) -> State:
        """The normalization's running statistics at the start."""
        return self.norm.buffers(self.cell.terms(), self.time_steps)

    def forward(
        self, params: Params, buffers: State, symbols: Tensor, training: bool
    ) -> tuple[Tensor, State]:
        """Score the classes.

        Args:
            params: the parameters, each ``(R, ...)``.
            buffers: the normalization's running statistics.
            symbols: indices, ``(R, B, T)``.
            training: normalize by the batch's statistics instead of the running ones.

        Returns:
            Logits ``(R, B, C)`` and the running statistics after this pass.
        """
        if self.scan is not None:
            last, after = self.scan(params, symbols), buffers  # (R, B, H)
        else:
            one_hot = self.one_hot.to(params["readout_weight"].dtype)
            x = one_hot[symbols.mT]  # (R, T, B, I)
            norm_pass = self.norm.forward(params, buffers, self.cell.terms(), training)
            last = unroll(self.cell, params, x, norm_pass)[-1]  # (R, B, H)
            after = norm_pass.statistics() if training else buffers
        logits = product(params["readout_weight"], last, params["readout_bias"])  # (R, B, C)
        return logits, after


def _scan(cell: Cell) -> "Scan | None":
    from hw2exp.closed_form.forms import form_of  # compiles kernels, so not before it is needed
    from hw2exp.closed_form.scan import Scan

    form = form_of(cell.options)
    if form is None:
        return None
    return Scan(form, cell.hidden_size, cell.input_size, getattr(cell.options, "lags", 1))
