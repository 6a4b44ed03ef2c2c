"""Define the knobs of each choice: models, tasks, optimizers, cures and diagnostics."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from hw2exp.config.knob import Choice, per_replica, shared


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[int, int], BeforeValidator(_tuple)]
"""A half-open range of integers, ``[from, to)``, written as a list of two."""

MAX_SEED = 2**63 - 1

Seeds = Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...], BeforeValidator(_tuple)]

# ---------------------------------------------------------------- model


class Model(Choice):
    """The knobs of every recurrent model; enough for a cell without its own."""

    hidden_size: int = shared("units of the recurrent state, H", ge=1, le=4096)

    attention: ClassVar[bool] = False
    """True if the cell has queries and keys, which ``norm=qk`` needs."""


class Attention(Model):
    """A cell with queries and keys."""

    attention: ClassVar[bool] = True


class AttnRNN(Attention):
    """AttentionRNN(k)."""

    lags: int = shared("how many past states the cell looks back to, k", ge=1, le=512)


class ElmanRNN(Model):
    """Elman's RNN, as ``torch.nn.RNN``, which has no sigmoid."""

    nonlinearity: Literal["tanh", "relu", "sigmoid"] = shared("the activation")


# ---------------------------------------------------------------- task


class AnyTask(Choice):
    """A task of temporal order: the positions of its two marks."""

    framed: ClassVar[bool] = True
    """True if a sequence starts with B and ends with E."""

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges of the length and of both marks' positions, half-open."""
        raise NotImplementedError


class Task(AnyTask):
    """Temporal order (Hochreiter & Schmidhuber 1997, experiment 6a)."""

    length: Range = shared("length of a sequence, half-open range")
    t1: Range = shared("position of the first mark, half-open range")
    t2: Range = shared("position of the second mark, half-open range")
    stream: Literal["counter", "notebook"] = shared(
        "counter: a pure function of seed and step; notebook: replays the published draws"
    )
    notebook_seed: int = shared("seed of the notebook stream", ge=0, le=2**32 - 1)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges as set."""
        return self.length, self.t1, self.t2


class FixedLength(AnyTask):
    """Temporal order as in the public code of Pascanu, Mikolov & Bengio 2013."""

    framed: ClassVar[bool] = False

    symbols: int = shared("length of a sequence, which has no B and no E, L", ge=10, le=10_000)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges: marks at ⌊L/10⌋ and ⌊L/2⌋, or up to ⌊L/10⌋ - 1 places later."""
        L, tenth = self.symbols, self.symbols // 10
        return (L, L + 1), (tenth, 2 * tenth), (L // 2, L // 2 + tenth)


# ---------------------------------------------------------------- optimizer


class Optimizer(Choice):
    """The knobs of every optimizer."""

    lr: float = per_replica("learning rate, before the schedule's factor", gt=0)
    weight_decay: float = per_replica("L2 penalty (AdamW: decoupled decay)", ge=0)


class SGD(Optimizer):
    """SGD, as ``torch.optim.SGD``."""

    momentum: float = per_replica("momentum", ge=0, lt=1)
    nesterov: bool = shared("Nesterov's momentum")


class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop``."""

    alpha: float = per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    eps: float = per_replica("added to the root of that mean", gt=0)
    momentum: float = per_replica("momentum", ge=0, lt=1)
    centered: bool = shared("divide by the running deviation instead of the running norm")


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``; with ``decoupled``, as ``AdamW``."""

    beta1: float = per_replica("decay of the running mean of gradients", ge=0, lt=1)
    beta2: float = per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    eps: float = per_replica("added to the root of the second mean", gt=0)
    decoupled: bool = shared("decay weights apart from the gradient: AdamW")


# ---------------------------------------------------------------- cures


class Clip(Choice):
    """No clipping, and the base of every clipping."""


class ClipNorm(Clip):
    """Clipping by norm."""

    max_norm: float = per_replica("largest allowed norm of a replica's whole gradient", gt=0)


class ClipValue(Clip):
    """Clipping by value."""

    max_value: float = per_replica("largest allowed size of one entry of the gradient", gt=0)


class ClipZ(Clip):
    """ZClip (Kumar et al. 2025)."""

    alpha: float = per_replica("decay of the running mean and variance of the norm", ge=0, lt=1)
    z_threshold: float = per_replica("z-score above which a norm is clipped", gt=0)
    warmup_steps: int = per_replica("steps that are only measured, not clipped", ge=2)


class Norm(Choice):
    """No normalization, and the base of every normalization."""


class BatchNorm(Norm):
    """Recurrent batch normalization (Cooijmans et al. 2016)."""

    gamma: float = per_replica("gain at the start", gt=0)
    eps: float = per_replica("added to the variance", gt=0)


class LayerNorm(Norm):
    """Layer normalization (Ba, Kiros & Hinton 2016)."""

    gamma: float = per_replica("gain at the start", gt=0)
    eps: float = per_replica("added to the variance", gt=0)


class QKNorm(Norm):
    """Normalized queries and keys (Dehghani et al. 2023)."""

    eps: float = per_replica("added to the variance", gt=0)


class Regularizer(Choice):
    """No regularizer, and the base of every regularizer."""


class Omega(Regularizer):
    """Ω, against vanishing gradients (Pascanu, Mikolov & Bengio 2013, eq. 9 and 10)."""

    weight: float = per_replica("factor of the regularizer's gradient", ge=0)
    bound: float = per_replica("‖∂ℓ/∂h[t]‖² below which a step is left out", gt=0)


class Schedule(Choice):
    """A constant learning rate, and the base of every schedule."""


class StepSchedule(Schedule):
    """A learning rate that falls by a factor at fixed intervals."""

    every: int = per_replica("steps between two falls", ge=1)
    gamma: float = per_replica("factor of one fall", gt=0, le=1)


class Cosine(Schedule):
    """A learning rate along half a cosine over the whole run (Loshchilov & Hutter 2017)."""

    min_factor: float = per_replica(
        "share of the learning rate that is left at the end", ge=0, le=1
    )


class WarmupCosine(Cosine):
    """A learning rate that rises linearly, then falls along half a cosine."""

    warmup_steps: int = per_replica("steps of the rise", ge=0)


class Plateau(Schedule):
    """A learning rate that falls when the test loss stops improving."""

    factor: float = per_replica("factor of one fall", gt=0, lt=1)
    patience: int = per_replica("test passes without improvement that are tolerated", ge=0)
    threshold: float = per_replica("relative improvement that counts", ge=0, lt=1)
    min_factor: float = per_replica(
        "share of the learning rate below which it won't fall", ge=0, le=1
    )


# ---------------------------------------------------------------- diagnostics


class Diagnostics(Choice):
    """The measurements besides the curve; 0 turns a part off."""

    flow_every: int = shared("steps between two looks at the gradient's flow through time", ge=0)
    cell_every: int = shared("steps between two looks at gates, attention and logits", ge=0)
    jacobian_every: int = shared("steps between two looks at the state's Jacobians", ge=0)
    sharpness_every: int = shared("steps between two looks at the loss's sharpness", ge=0)
    histogram_every: int = shared("steps between two histograms and images in TensorBoard", ge=0)
    spikes: int = shared("how many spikes are kept for hw2exp.anatomy, the first ones", ge=0)
    steps_before: int = shared("steps before such a spike that are kept", ge=1, le=1000)
    seeds: Seeds | None = shared("the seeds of the runs that are looked at; null: all")
