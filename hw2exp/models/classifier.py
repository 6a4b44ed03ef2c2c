"""A cell between an input of symbols and a linear readout of the last state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hw2exp.axes import Params, Path, State
from hw2exp.config.schema import Init
from hw2exp.models.cell import Cell, Weight, linear, product, unroll
from hw2exp.models.initialization import initialize
from hw2exp.stabilizers.norm import Norm
from hw2exp.task import CLASSES, PAD

if TYPE_CHECKING:
    from hw2exp.closed_form.loss import SequenceLoss
    from hw2exp.closed_form.normed.loss import NormedSequenceLoss


@dataclass(frozen=True)
class Gradient:
    """What a pass forward and back through time computes.

    Args:
        loss: the mean loss, ``(R,)``.
        correct: which sequences are classified right, ``(R, B)``.
        of: the loss's gradient by each parameter, by name, each ``(R, ...)``.
        path: the states and their gradients, if the model keeps them.
        flow: ‖∂ℓ/∂h[t]‖ over the batch, for t = 1…T, ``(R, T)`` in float64, if asked for.
    """

    loss: Tensor
    correct: Tensor
    of: Params
    path: Path | None
    flow: Tensor | None = None


class Classifier:
    """Reads a sequence of symbols and scores the four classes at its last position.

    Args:
        cell: the recurrent cell.
        norm: the normalization inside the cell.
        time_steps: padded length of a sequence, T.
        device: where the tensors go.
        closed_form: run the cell by its closed form where it has one: on the CPU.
        keeps_path: ``gradient`` returns the states and their gradients too.
    """

    def __init__(
        self,
        cell: Cell,
        norm: Norm,
        time_steps: int,
        device: torch.device | str = "cpu",
        closed_form: bool = True,
        keeps_path: bool = False,
    ) -> None:
        self.cell = cell
        self.norm = norm
        self.time_steps = time_steps
        self.device = device
        self.keeps_path = keeps_path
        self._keeps_states = False
        self._states: list[Tensor] = []
        self.one_hot = torch.eye(PAD + 1, PAD, device=device)  # padding's row is zero
        self.closed_form: SequenceLoss | NormedSequenceLoss | None = None
        if closed_form and torch.device(device).type == "cpu":
            self.closed_form = _closed_form(cell, norm)
        if self.closed_form is not None:
            self.closed_form.keeps_state_gradients = keeps_path

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

    def input_vectors(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        """One-hot vectors of symbols, zero for padding, ``(R, T, B, I)``.

        Args:
            symbols: indices, ``(R, B, T)``.
            dtype: of the vectors.
        """
        return self.one_hot.to(dtype)[symbols.mT.long()]

    def forward(
        self, params: Params, symbols: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, State]:
        """Score the classes, by the equations.

        Args:
            params: the parameters, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            statistics: for a norm to go by, each ``(R, T, *features)``; without, one over the
                batch goes by the batch.

        Returns:
            Logits ``(R, B, C)``, and the batch's statistics if a norm went by them.
        """
        x = self.input_vectors(symbols, params["readout_weight"].dtype)
        norm_pass = self.norm.forward(params, self.cell.terms(), statistics)
        states = unroll(self.cell, params, x, norm_pass)  # T times (R, B, H)
        self._states = states if self._keeps_states else []
        logits = product(params["readout_weight"], states[-1], params["readout_bias"])  # (R, B, C)
        return logits, norm_pass.statistics()

    def losses(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Judge each sequence, by the closed form where there is one.

        Args:
            params: the parameters, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: ``(R, B)``.
            statistics: as in ``forward``.

        Returns:
            Each sequence's cross-entropy and whether it was classified right, ``(R, B)``; the
            batch's statistics if a norm went by them.
        """
        if self.closed_form is not None:
            return self.closed_form.each(params, symbols, labels, statistics)
        logits, seen = self.forward(params, symbols, statistics)
        return cross_entropy(logits, labels), correct(logits, labels), seen

    def mean_loss(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Judge a training batch: as ``losses``, but the mean ``(R,)``, which is differentiable.

        Args:
            params: the parameters, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: ``(R, B)``.
        """
        if self.closed_form is not None:
            return self.closed_form.mean(params, symbols, labels)
        losses, right, _ = self.losses(params, symbols, labels)
        return losses.mean(1), right

    def gradient(
        self, params: Params, symbols: Tensor, labels: Tensor, keeps_flow: bool = False
    ) -> "Gradient":
        """Run forward and backward through time.

        Args:
            params: the parameters, each ``(R, ...)``.
            symbols: indices, ``(R, B, T)``.
            labels: ``(R, B)``.
            keeps_flow: say how large ∂ℓ/∂h[t] is, which the pass computes anyway.
        """
        free = {name: p.detach().requires_grad_() for name, p in params.items()}
        self._keeps_states = self.keeps_path or keeps_flow
        if self.closed_form is not None:
            self.closed_form.keeps_flow = keeps_flow
        loss, right = self.mean_loss(free, symbols, labels)
        states, self._states = self._states, []
        # The sum over R only starts the backward pass: replicas share no parameter.
        grads = torch.autograd.grad(loss.sum(), [*free.values(), *states])
        path: Path | None = None
        flow = self.closed_form.flow if self.closed_form is not None else None
        if states:
            upstream = torch.stack(grads[len(free) :], 2)  # (R, B, T, H)
            path = torch.stack(states, 2).detach(), upstream
            flow = torch.linalg.vector_norm(upstream.double(), dim=(1, 3))  # (R, T)
        elif self.closed_form is not None and self.keeps_path:
            assert self.closed_form.states is not None
            assert self.closed_form.state_gradients is not None
            path = self.closed_form.states, self.closed_form.state_gradients
        of = dict(zip(free, grads, strict=False))
        kept = flow if keeps_flow else None
        return Gradient(loss.detach(), right, of, path if self.keeps_path else None, kept)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of each sequence, ``(R, B)``.

    Args:
        logits: ``(R, B, C)``.
        labels: ``(R, B)``.
    """
    return -logits.log_softmax(-1).gather(-1, labels[..., None].long()).squeeze(-1)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether a sequence is classified right, ``(R, B)``; what is NaN is wrong.

    Args:
        logits: ``(R, B, C)``.
        labels: ``(R, B)``.
    """
    best, choice = logits.detach().max(-1)  # NaN counts as the largest
    return (choice == labels) & ~best.isnan()


def _closed_form(cell: Cell, norm: Norm) -> "SequenceLoss | NormedSequenceLoss | None":
    """The cell's closed form, if it has one with this norm; compiles kernels where it has."""
    from hw2exp.closed_form.choice import closed_form_of

    return closed_form_of(cell, norm)
