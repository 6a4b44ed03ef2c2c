"""How a perturbation of the state grows from one time step to the next, and over a sequence.

A cell must compute what it hands on from the state that it returns, and hand on tensors
``(R, B, ...)`` whose shapes stay the same from the start on. A normalization must treat each
sequence by itself: a batch norm by its running statistics.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.axes import Params, State
from hw2exp.diagnostics.gradient_reach import spectral_norms, state_jacobians
from hw2exp.diagnostics.lyapunov import lyapunov_exponent
from hw2exp.diagnostics.trajectory import NO_NORM, floating, leaves, numbers, record
from hw2exp.models.cell import Carry, Cell
from hw2exp.models.classifier import Classifier
from hw2exp.stabilizers.norm import NormPass


def step_jacobians(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Tensor:
    """∂h[t]/∂h[t-1] for t = 2 … T: the direct dependence, the rest of what is handed on held fixed.

    For an LSTM c[t-1] is held, for an AttentionRNN the older states (write-up, part 1.2.2 e).
    Two steps are taken, so that h[t-1] stands between them, and what goes around it is not
    followed.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.

    Returns:
        ``(R, B, T-1, H, H)``.

    Raises:
        ValueError: what is handed on changes its shape.
    """
    steps = _AllSteps(cell, params, x, norm_pass)
    with torch.enable_grad():
        state, after = steps.take(leaves(steps.carries))
        later, _ = steps.take(steps.one_later(after))
        return steps.rows(later, (state,))[:, :, :-1]


def carry_jacobians(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Tensor:
    """The derivative of all that step t hands on by all that step t-1 did, for t = 2 … T.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.

    Returns:
        ``(R, B, T-1, S, S)`` for S numbers handed on, in the order of ``trajectory.numbers``.

    Raises:
        ValueError: what is handed on changes its shape.
    """
    steps = _AllSteps(cell, params, x, norm_pass)
    with torch.enable_grad():
        before = leaves(steps.carries)
        after = numbers(steps.take(before)[1])
        return steps.rows(after, floating(before))[:, :, 1:]


@dataclass(frozen=True)
class JacobianGrowth:
    """How perturbations grow in a fleet, on a few sequences.

    Args:
        step: the largest singular value of ∂h[t]/∂h[t-1], a column for each t = 2 … T; the
            geometric mean over the sequences, ``(R, T-1)``.
        product: that of ∂h[T]/∂h[t], a column for each t = 1 … T-1, ``(R, T-1)``: of the product
            of the former where the state is all that is handed on, else through all lags.
        exponent: the largest Lyapunov exponent, the mean over the sequences, natural logarithm
            per time step, ``(R,)``.
    """

    step: Tensor
    product: Tensor
    exponent: Tensor


def jacobian_growth(
    model: Classifier, params: Params, buffers: State, symbols: Tensor
) -> JacobianGrowth:
    """Look once at how perturbations grow; infinite where something is not finite.

    Args:
        model: the classifier.
        params: its parameters, each ``(R, ...)``.
        buffers: the normalization's running statistics.
        symbols: indices of a few sequences, ``(R, B, T)``.
    """
    params = {name: value.detach() for name, value in params.items()}
    x = model.input_vectors(symbols, params["readout_weight"].dtype)
    norm_pass = model.norm.forward(params, buffers, model.cell.terms(), training=False)
    exponents = lyapunov_exponent(model.cell, params, x, norm_pass)  # (R, B)
    return JacobianGrowth(
        step=_geometric_mean(step_jacobians(model.cell, params, x, norm_pass)),
        product=_geometric_mean(state_jacobians(model.cell, params, x, norm_pass=norm_pass)),
        exponent=_mean(exponents),
    )


def _geometric_mean(jacobians: Tensor) -> Tensor:
    """Of the spectral norms, over the sequences, ``(R, T-1)``."""
    norms = spectral_norms(jacobians)  # (R, B, T-1)
    return torch.where(norms.isinf().any(1), torch.inf, _mean(norms.log()).exp())


def _mean(values: Tensor) -> Tensor:
    """Over the sequences, summed in the same order alone and in a fleet."""
    total: Tensor = sum(values.unbind(1), values.new_zeros(()))
    return total / values.shape[1]


class _AllSteps:
    """The steps of a trajectory side by side in the batch axis, each from where it began."""

    def __init__(self, cell: Cell, params: Params, x: Tensor, norm_pass: NormPass) -> None:
        self.run = run = record(cell, params, x, norm_pass)
        self.cell, self.norm = cell, _AllAtOnce(norm_pass, x.shape[1])
        self.time_steps, self.batch_size = x.shape[1:3]
        self.carries = tuple(torch.cat(parts, 1) for parts in zip(*run.carries[:-1], strict=True))

    def take(self, carries: Carry) -> tuple[Tensor, Carry]:
        """Advance all; states ``(R, T B, H)``."""
        # As leaves, so that a state is a node of autograd even where it depends on nothing else.
        inputs = leaves(term.flatten(1, 2) for term in self.run.inputs)
        return self.cell.step(self.run.params, inputs, carries, self.norm)

    def one_later(self, after: Carry) -> Carry:
        """What each step has handed on, in the place of the next; the first keeps its own."""
        first = self.batch_size
        pairs = zip(self.carries, after, strict=True)
        return tuple(torch.cat((old[:, :first], new[:, :-first]), 1) for old, new in pairs)

    def rows(self, outputs: Tensor, of: Carry) -> Tensor:
        """∂outputs/∂of, ``(R, B, T, ·, ·)``: a pass back for each element of the outputs."""
        rows = [
            # The sum only starts the pass: no sequence and no step uses what another does.
            numbers(torch.autograd.grad(row, of, retain_graph=True, materialize_grads=True))
            for row in outputs.sum((0, 1))
        ]
        matrices = torch.stack(rows, -2)  # (R, T B, ·, ·)
        shape = (len(matrices), self.time_steps, self.batch_size, *matrices.shape[2:])
        return matrices.view(shape).transpose(1, 2)


@dataclass(frozen=True)
class _AllAtOnce(NormPass):
    """Normalizes all time steps at once where they stand in the batch axis."""

    norm: NormPass
    time_steps: int

    def __call__(self, term: str, value: Tensor) -> Tensor:
        R, rows, *features = value.shape
        apart = value.view(R, self.time_steps, rows // self.time_steps, *features)
        return self.norm(term, apart).flatten(1, 2)
