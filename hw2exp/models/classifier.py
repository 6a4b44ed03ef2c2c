"""The classifier: symbols as input, a recurrent cell, and a linear readout of the last state."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hw2exp.config.schema import Init
from hw2exp.models.axes import Layout, Params, State, StateTrajectory
from hw2exp.models.cell import (
    SCORES,
    Cell,
    Unrolled,
    Weight,
    gains_of,
    linear,
    prepare,
    product,
    run,
)
from hw2exp.models.initialization import initialize
from hw2exp.models.normalization import Norm, NormPass
from hw2exp.models.passes import ClosedForm, Gradient, Pass, Term
from hw2exp.tasks.temporal_order import CLASSES


class Classifier:
    """A sequence classifier that scores the classes from the last hidden state.

    In each method ``params`` are the parameters, each ``(R, ...)``, ``symbols`` indices
    ``(R, B, T)``, and ``labels`` class indices ``(R, B)``.

    Args:
        cell: the recurrent cell.
        normalization: the normalization inside the cell.
        time_steps: padded length of a sequence, T.
        device: the device of the tensors.
        closed_form: the compiled equations, on the CPU only; None: autograd.
        keeps_path: whether ``gradient`` returns the states and their gradients too.
        term: a term that ``gradient`` adds to the loss; it needs autograd.
        classes: the number of classes, C.
    """

    def __init__(
        self,
        cell: Cell,
        normalization: Norm,
        time_steps: int,
        device: torch.device | str = "cpu",
        closed_form: ClosedForm | None = None,
        keeps_path: bool = False,
        term: Term | None = None,
        classes: int = len(CLASSES),
    ) -> None:
        self.cell = cell
        self.normalization = normalization
        self.time_steps = time_steps
        self.device = device
        self.keeps_path = keeps_path
        self.term = term
        self.classes = classes
        self._keeps_states = False
        self._states: list[Tensor] = []
        symbols = cell.input_size
        self.one_hot = torch.eye(symbols + 1, symbols, device=device)  # padding's row is zero
        self.closed_form = closed_form
        if closed_form is not None:
            closed_form.keeps_state_gradients = keeps_path

    def weights(self) -> dict[str, Weight]:
        """Return the parameters of the cell, then those of the readout."""
        hidden = self.cell.hidden_size
        return self.cell.weights() | {
            "readout_weight": linear(self.classes, hidden, "readout"),
            "readout_bias": Weight((self.classes,), "readout_bias", fan=hidden),
        }

    def layout(self) -> Layout:
        """Return the layout of all parameters in a row, in the order of :meth:`initialize`."""
        own = {name: weight.shape for name, weight in self.weights().items()}
        gains = gains_of(self.cell, self.normalization)
        return Layout(own | {name: gain.shape for name, gain in gains.items()})

    def initialize(self, init: Sequence[Init], seeds: Sequence[int]) -> Params:
        """Draw each replica's parameters from its ``init`` section and its seed; set the gains."""
        drawn = initialize(self.weights(), init, seeds)
        gains = {
            name: gain.start.float().reshape(-1, *[1] * len(gain.shape)).repeat(1, *gain.shape)
            for name, gain in gains_of(self.cell, self.normalization).items()
        }
        return {name: value.to(self.device) for name, value in (drawn | gains).items()}

    def input_vectors(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        """Return one-hot vectors of symbols, zero for padding, ``(R, T, B, I)``."""
        return self.one_hot.to(dtype)[symbols.mT.long()]

    def forward(
        self, params: Params, symbols: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, State]:
        """Compute the logits from the cell's equations, without the closed form.

        Batch normalization uses the given statistics, each ``(R, T, *features)``; without them,
        those of the batch.

        Returns:
            Logits ``(R, B, C)``, and the batch statistics if the norm used them.
        """
        logits, _, seen, norm_pass = self._run(params, symbols, statistics)
        self._states = seen.states if self._keeps_states else []
        return logits, norm_pass.statistics()

    def _run(
        self, params: Params, symbols: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Params, Unrolled, NormPass]:
        """Compute the logits; return the cell's parameters, states and normalization, too."""
        x = self.input_vectors(symbols, params["readout_weight"].dtype)
        norm_pass = self.normalization.forward(params, self.cell.terms(), statistics)
        prepared = prepare(self.cell, params, norm_pass)
        seen = run(self.cell, prepared, x, norm_pass)
        last = seen.states[-1]  # (R, B, H)
        logits = product(params["readout_weight"], last, params["readout_bias"])  # (R, B, C)
        return logits, prepared, seen, norm_pass

    @torch.no_grad()
    def largest_scores(self, params: Params, symbols: Tensor) -> dict[tuple[str, str], Tensor]:
        """Return the largest score of each head of the cell's attention, by its matrices, ``(R,)``.

        The scores are those of a forward pass by the cell's equations.
        """
        _, prepared, seen, norm = self._run(params, symbols)
        scores = self.cell.decisions(prepared, seen, norm)[SCORES]  # (R, B, T, 1 + K)
        heads = self.cell.heads().items()
        return {head: scores[..., own].flatten(1).amax(1) for head, own in heads}

    def losses(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Compute the loss of each sequence, with the closed form if there is one.

        For the statistics see :meth:`forward`.

        Returns:
            Cross-entropy of each sequence and whether it was classified correctly, ``(R, B)``; the
            batch statistics if the norm used them.
        """
        if self.closed_form is not None:
            return self.closed_form.each(params, symbols, labels, statistics)
        logits, seen = self.forward(params, symbols, statistics)
        return cross_entropy(logits, labels), correct(logits, labels), seen

    def mean_loss(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the differentiable mean loss ``(R,)``, and the correct sequences ``(R, B)``."""
        if self.closed_form is not None:
            return self.closed_form.mean(params, symbols, labels)
        losses, right, _ = self.losses(params, symbols, labels)
        return losses.mean(1), right

    def gradient(
        self, params: Params, symbols: Tensor, labels: Tensor, keeps_flow: bool = False
    ) -> Gradient:
        """Run forward and backward through time.

        With ``keeps_flow``, also return ‖∂ℓ/∂h[t]‖; the pass computes ∂ℓ/∂h[t] anyway.
        """
        free = {name: p.detach().requires_grad_() for name, p in params.items()}
        self._keeps_states = self.keeps_path or keeps_flow
        if self.closed_form is not None:
            self.closed_form.keeps_flow = keeps_flow
        if self.term is None:
            loss, right = total, _ = self.mean_loss(free, symbols, labels)
        else:
            loss, right, total = self._with_term(free, symbols, labels)
        states, self._states = self._states, []
        # The sum over R only starts the backward pass: replicas share no parameter.
        grads = torch.autograd.grad(total.sum(), [*free.values(), *states])
        path: StateTrajectory | None = None
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

    def _with_term(
        self, params: Params, symbols: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the mean loss, the correct sequences, and the loss with the term."""
        assert self.term is not None
        logits, prepared, seen, norm = self._run(params, symbols)
        self._states = seen.states if self._keeps_states else []
        loss = cross_entropy(logits, labels).mean(1)  # (R,)
        known = Pass(self.cell, params, symbols, labels, seen.states, logits, prepared, seen, norm)
        return loss, correct(logits, labels), loss + self.term(known)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute each sequence's loss ``(R, B)`` from logits ``(R, B, C)`` and labels ``(R, B)``."""
    return -logits.log_softmax(-1).gather(-1, labels[..., None].long()).squeeze(-1)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether each sequence is classified correctly, ``(R, B)``; NaN counts as wrong.

    The logits are ``(R, B, C)``, the labels ``(R, B)``.
    """
    best, choice = logits.detach().max(-1)  # NaN counts as the largest
    return (choice == labels) & ~best.isnan()
