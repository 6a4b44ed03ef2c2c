"""Every knob: its type, range and meaning, and whether it is shared in a fleet or per replica.

The values themselves stand in ``hw2exp/configs``; this file knows what is allowed.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, SerializeAsAny

from hw2exp.config.knob import Choice, Section, per_replica, shared

MAX_SEED = 2**63 - 1


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[int, int], BeforeValidator(_tuple)]
"""A half-open range of integers, ``[from, to)``, written as a list of two."""

Seeds = Annotated[tuple[int, ...], BeforeValidator(_tuple)]

# ---------------------------------------------------------------- model


class Model(Choice):
    """What every recurrent model has; enough for a cell without knobs of its own."""

    hidden_size: int = shared("units of the recurrent state, H", ge=1, le=4096)

    attention: ClassVar[bool] = False
    """Whether the cell has queries and keys, which ``norm=qk`` needs."""


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
    """Temporal order: where its two marks stand."""

    framed: ClassVar[bool] = True
    """Whether a sequence starts with B and ends with E."""

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Length and positions of the marks, half-open ranges."""
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
        """As they are set."""
        return self.length, self.t1, self.t2


class FixedLength(AnyTask):
    """Temporal order as Pascanu, Mikolov & Bengio 2013 drew it, in their public code."""

    framed: ClassVar[bool] = False

    symbols: int = shared("length of a sequence, which has no B and no E, L", ge=10, le=10_000)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """The marks come at ⌊L/10⌋ and ⌊L/2⌋, or up to ⌊L/10⌋ - 1 places later."""
        L, tenth = self.symbols, self.symbols // 10
        return (L, L + 1), (tenth, 2 * tenth), (L // 2, L // 2 + tenth)


# ---------------------------------------------------------------- init


class Init(Section):
    """Where the parameters start."""

    input: Literal["torch", "orthogonal", "normal"] = shared("how input weights are drawn")
    recurrent: Literal["torch", "orthogonal", "normal", "sparse"] = shared(
        "how recurrent weights are drawn; sparse: 15 a row, normal, spectral radius 1"
    )
    readout: Literal["torch", "orthogonal", "normal", "zeros"] = shared("how the readout is drawn")
    bias: Literal["torch", "zeros"] = shared("how biases are drawn, the readout's too")
    input_scale: float = per_replica("factor on the input weights", ge=0)
    scale: float = per_replica("factor on the recurrent weights", ge=0)
    readout_scale: float = per_replica("factor on the readout's weights and bias", ge=0)
    forget_bias: float = per_replica("added to the bias of an LSTM's forget gate, before σ")


# ---------------------------------------------------------------- optimizer


class Optimizer(Choice):
    """What every optimizer has."""

    lr: float = per_replica("learning rate, before the schedule's factor", gt=0)
    weight_decay: float = per_replica("L2 penalty (AdamW: decoupled decay)", ge=0)


class SGD(Optimizer):
    """As ``torch.optim.SGD``."""

    momentum: float = per_replica("momentum", ge=0, lt=1)
    nesterov: bool = shared("Nesterov's momentum")


class RMSprop(Optimizer):
    """As ``torch.optim.RMSprop``."""

    alpha: float = per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    eps: float = per_replica("added to the root of that mean", gt=0)
    momentum: float = per_replica("momentum", ge=0, lt=1)
    centered: bool = shared("divide by the running deviation instead of the running norm")


class Adam(Optimizer):
    """As ``torch.optim.Adam``, or ``AdamW`` with ``decoupled``."""

    beta1: float = per_replica("decay of the running mean of gradients", ge=0, lt=1)
    beta2: float = per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    eps: float = per_replica("added to the root of the second mean", gt=0)
    decoupled: bool = shared("decay weights apart from the gradient: AdamW")


# ---------------------------------------------------------------- cures


class Clip(Choice):
    """No clipping, and what every clipping has."""


class ClipNorm(Clip):
    """By norm."""

    max_norm: float = per_replica("largest allowed norm of a replica's whole gradient", gt=0)


class ClipValue(Clip):
    """By value."""

    max_value: float = per_replica("largest allowed size of one entry of the gradient", gt=0)


class ClipZ(Clip):
    """ZClip (Kumar et al. 2025)."""

    alpha: float = per_replica("decay of the running mean and variance of the norm", ge=0, lt=1)
    z_threshold: float = per_replica("z-score above which a norm is clipped", gt=0)
    warmup_steps: int = per_replica("steps that are only measured, not clipped", ge=2)


class Norm(Choice):
    """No normalization, and what every normalization has."""


class BatchNorm(Norm):
    """Recurrent batch normalization (Cooijmans et al. 2016)."""

    gamma: float = per_replica("gain at the start", gt=0)
    momentum: float = per_replica("weight of a new batch in the running statistics", gt=0, le=1)
    eps: float = per_replica("added to the variance", gt=0)


class LayerNorm(Norm):
    """Layer normalization (Ba, Kiros & Hinton 2016)."""

    gamma: float = per_replica("gain at the start", gt=0)
    eps: float = per_replica("added to the variance", gt=0)


class QKNorm(Norm):
    """Normalized queries and keys (Dehghani et al. 2023)."""

    eps: float = per_replica("added to the variance", gt=0)


class Regularizer(Choice):
    """No regularizer, and what every regularizer has."""


class Omega(Regularizer):
    """Against vanishing gradients (Pascanu, Mikolov & Bengio 2013, eq. 9 and 10)."""

    weight: float = per_replica("factor of the regularizer's gradient", ge=0)
    bound: float = per_replica("‖∂ℓ/∂h[t]‖² below which a step is left out", gt=0)


class Schedule(Choice):
    """A constant learning rate, and what every schedule has."""


class StepSchedule(Schedule):
    """Falls by a factor at fixed intervals."""

    every: int = per_replica("steps between two falls", ge=1)
    gamma: float = per_replica("factor of one fall", gt=0, le=1)


class Cosine(Schedule):
    """Falls along half a cosine over the whole run (Loshchilov & Hutter 2017)."""

    min_factor: float = per_replica(
        "share of the learning rate that is left at the end", ge=0, le=1
    )


class WarmupCosine(Cosine):
    """Rises linearly, then falls along half a cosine."""

    warmup_steps: int = per_replica("steps of the rise", ge=0)


class Plateau(Schedule):
    """Falls when the test loss stops improving."""

    factor: float = per_replica("factor of one fall", gt=0, lt=1)
    patience: int = per_replica("test passes without improvement that are tolerated", ge=0)
    threshold: float = per_replica("relative improvement that counts", ge=0, lt=1)
    min_factor: float = per_replica(
        "share of the learning rate below which it won't fall", ge=0, le=1
    )


# ---------------------------------------------------------------- the run


class Spikes(Section):
    """What counts as a spike of the training loss."""

    window: int = shared("steps of the running median", ge=5, le=10_001)
    margin: float = per_replica("least height above the running median", gt=0)
    deviations: float = per_replica(
        "least height in robust standard deviations of the window", ge=0
    )


class Diagnostics(Choice):
    """What is measured besides the curve; every part is off at 0."""

    flow_every: int = shared("steps between two looks at the gradient's flow through time", ge=0)
    cell_every: int = shared("steps between two looks at gates, attention and logits", ge=0)
    jacobian_every: int = shared("steps between two looks at the state's Jacobians", ge=0)
    sharpness_every: int = shared("steps between two looks at the loss's sharpness", ge=0)
    histogram_every: int = shared("steps between two histograms and images in TensorBoard", ge=0)
    spikes: int = shared("how many spikes are kept for hw2exp.anatomy, the first ones", ge=0)
    steps_before: int = shared("steps before such a spike that are kept", ge=1, le=1000)
    seeds: Seeds | None = shared("the seeds of the runs that are looked at; null: all")


class TrainConfig(Section):
    """A whole run."""

    model: SerializeAsAny[Model] = shared("the recurrent model")
    task: SerializeAsAny[AnyTask] = shared("the task")
    optimizer: SerializeAsAny[Optimizer] = shared("the optimizer")
    clip: SerializeAsAny[Clip] = shared("gradient clipping")
    norm: SerializeAsAny[Norm] = shared("normalization inside the cell")
    regularizer: SerializeAsAny[Regularizer] = shared("a term that is added to the loss")
    schedule: SerializeAsAny[Schedule] = shared("the learning rate's schedule")
    init: Init = shared("initialization")
    spikes: Spikes = shared("the definition of a spike")
    diagnostics: SerializeAsAny[Diagnostics] = shared("what is measured besides the curve")
    seed: int = per_replica("seed of the parameters and of the data", ge=0, le=MAX_SEED)
    steps: int = shared("training steps", ge=1, le=2**31)
    batch_size: int = shared("sequences in a training step, B", ge=1, le=16_384)
    log_every: int = shared("steps between two rows of the metrics", ge=1)
    eval_every: int = shared("steps between two test passes", ge=1)
    eval_batches: int = shared("batches in a test pass", ge=1, le=4096)
    checkpoint_every: int = shared("steps between two checkpoints; 0: none is made", ge=0)
    keep_checkpoints: int = shared("how many checkpoints of a run stay, the newest", ge=1, le=1000)
    stop_when_solved: bool = shared("stop once the task is solved")
    solved_accuracy: float = shared("test accuracy that counts as solved", gt=0.25, le=1)
    solved_passes: int = shared("test passes in a row that must reach it", ge=1)
    check_initial_loss: Literal["error", "warn", "off"] = shared(
        "what to do if training would not start at loss ln 4 and accuracy 0.25"
    )
    fail_on_divergence: bool = shared("exit with status 3 if a run diverges")
    closed_form: bool = shared(
        "gradients by the cell's closed form, compiled; false: by autograd, which is far slower"
    )
    device: Literal["auto", "cpu", "cuda"] = shared("auto: cpu, which is faster at these sizes")
    workers: int = shared("processes of a sweep; 0: one for each core", ge=0, le=1024)
    fleet_size: int = shared("most runs in one tensor program; 0: 64, or 32 under autograd", ge=0)
    plot: bool | Literal["auto"] = shared(
        "draw curve.png and curve.svg at the end; auto: not in a sweep of more than 32 jobs"
    )
    resume: str | None = shared(
        "the folder of a run or a sweep: with its command repeated, it goes on there"
    )
    dry_run: bool = shared("print the resolved config and what would run, then stop")

    def describe(self) -> str:
        """What the run is made of, in a line."""
        return f"{self.describe_shape()}, lr {self.optimizer.lr:g}, seed {self.seed}"

    def describe_shape(self) -> str:
        """What the run shares with others of its fleet, in a line."""
        groups = ("clip", "norm", "regularizer", "schedule")
        cures = {group: getattr(self, group).name for group in groups}
        on = [
            f"{group} {name}" for group, name in cures.items() if name not in ("none", "constant")
        ]
        return (
            f"{self.model.name} (H {self.model.hidden_size}) on {self.task.name}, "
            f"{', '.join(on) or 'no cure'}, {self.optimizer.name}"
        )
