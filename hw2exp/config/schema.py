"""Define the whole config: each knob's type, range and meaning, shared or per replica.

A choice's own knobs are defined beside its equations; all default values are in ``configs/``.
"""

from typing import Any, Literal

from pydantic import SerializeAsAny

from hw2exp.config.groups import (
    MAX_SEED,
    AnyTask,
    Clip,
    Diagnostics,
    Executor,
    Logger,
    Metric,
    Model,
    Norm,
    Optimizer,
    Prune,
    Regularizer,
    Schedule,
)
from hw2exp.config.knob import Section, per_replica, shared
from hw2exp.system.problems import counted


class Init(Section):
    """The initialization of the parameters."""

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

    def contradictions(self, config: Any) -> list[str]:
        """Return the problem of a forget gate's bias in a model without one."""
        model = config.model.name
        if not self.forget_bias or model == "lstm":
            return []
        return [f"init.forget_bias={self.forget_bias:g}: needs model=lstm, not model={model}"]

    def unscaled(self, why: str, *keys: str) -> list[str]:
        """Return the problems of scales that would have no effect on the weights.

        Args:
            why: the reason, such as what sets these weights.
            keys: the scales' names.
        """
        scales = {key: getattr(self, key) for key in keys}
        return [
            f"init.{key}={scale:g}: has no effect, since {why}"
            for key, scale in scales.items()
            if scale != 1
        ]


class Spikes(Section):
    """The definition of a spike of the training loss."""

    window: int = shared("steps of the running median", ge=5, le=10_001)
    margin: float = per_replica("least height above the running median", gt=0)
    deviations: float = per_replica(
        "least height in robust standard deviations of the window", ge=0
    )


OPERATIONAL = {
    "check_initial_loss",
    "checkpoint_every",
    "device",
    "diagnostics",
    "dry_run",
    "executor",
    "fail_on_divergence",
    "fleet_size",
    "keep_checkpoints",
    "log_every",
    "logger",
    "metric",
    "packed_parameters",
    "plot",
    "records",
    "resume",
    "trust_changed",
    "workers",
}
"""The operational keys: they decide how a run is executed and shown, not what it computes."""

LAST_STEP = 1 << 31
"""The largest number of steps of a run."""


class TrainConfig(Section):
    """The config of a run."""

    model: SerializeAsAny[Model] = shared("the recurrent model")
    task: SerializeAsAny[AnyTask] = shared("the task")
    optimizer: SerializeAsAny[Optimizer] = shared("the optimizer")
    clip: SerializeAsAny[Clip] = shared("gradient clipping")
    norm: SerializeAsAny[Norm] = shared("normalization inside the cell")
    regularizer: SerializeAsAny[Regularizer] = shared("a term that is added to the loss")
    schedule: SerializeAsAny[Schedule] = shared("the learning rate's schedule")
    init: Init = shared("initialization")
    spikes: Spikes = shared("the definition of a spike")
    prune: SerializeAsAny[Prune] = shared("which arms of a sweep leave early")
    diagnostics: SerializeAsAny[Diagnostics] = shared("what is measured besides the curve")
    metric: SerializeAsAny[Metric] = shared("a metric of training steps, of your own or ours")
    logger: SerializeAsAny[Logger] = shared("another tool that each run is told to")
    executor: SerializeAsAny[Executor] = shared("where a sweep's fleets are trained")
    seed: int = per_replica("seed of the parameters and of the data", ge=0, le=MAX_SEED)
    steps: int = shared("training steps", ge=1, le=LAST_STEP)
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
        "what to do if training would not start at loss ln C and accuracy 1/C, for C classes"
    )
    fail_on_divergence: bool = shared("exit with status 3 if a run diverges")
    closed_form: bool = shared(
        "gradients by the cell's closed form, compiled; false: by autograd, which is far slower"
    )
    device: Literal["auto", "cpu", "cuda"] = shared("auto: cpu, which is faster at these sizes")
    workers: int = shared("processes of a sweep; 0: one for each core", ge=0, le=1024)
    fleet_size: int = shared(
        "most runs in one tensor program; 0: 64, with packed records 256, under autograd 32", ge=0
    )
    plot: bool | Literal["auto"] = shared(
        "draw curve.png and curve.svg at the end; auto: not in a sweep of more than 32 jobs"
    )
    records: Literal["auto", "folders", "packed"] = shared(
        "of a sweep: a folder for each run, or all in a few files; auto: packed above 2048 jobs"
    )
    packed_parameters: bool = shared(
        "whether packed records hold the final parameters of each run; a folder always does"
    )
    resume: str | None = shared(
        "the folder of a run or a sweep; its command, repeated with this, resumes it"
    )
    trust_changed: bool = shared("resume a run although the code of a choice of yours has changed")
    dry_run: bool = shared("print the resolved config and what would run, then stop")

    @property
    def prunes(self) -> bool:
        """Return whether the arms of a fleet are compared, so that some leave early."""
        return self.prune.name != "none"

    @property
    def inspected(self) -> bool:
        """Return whether the run has any diagnostics."""
        own = self.diagnostics
        wanted = own.seeds is None or self.seed in own.seeds
        cadences = (own.flow_every, own.cell_every, own.jacobian_every, own.sharpness_every)
        measures = self.metric.name != "none"
        return wanted and any((*cadences, own.histogram_every, own.spikes, measures))

    @property
    def too_few_tests(self) -> str | None:
        """Return why no run can solve its task, if its test passes are too few for that."""
        passes = -(-self.steps // self.eval_every)
        if passes >= self.solved_passes:
            return None
        return (
            f"that takes {counted(self.solved_passes, 'test')} in a row, and a run makes {passes}; "
            "make eval_every smaller"
        )

    def describe(self) -> str:
        """Describe the run in one line."""
        return f"{self.describe_shape()}, lr {self.optimizer.lr:g}, seed {self.seed}"

    def describe_shape(self) -> str:
        """Describe the choices that the run shares with its fleet in one line."""
        groups = ("clip", "norm", "regularizer", "schedule")
        cures = {group: getattr(self, group).name for group in groups}
        on = [
            f"{group} {name}" for group, name in cures.items() if name not in ("none", "constant")
        ]
        return (
            f"{self.model.name} (H {self.model.hidden_size}) on {self.task.name}, "
            f"{', '.join(on) or 'no cure'}, {self.optimizer.name}"
        )
