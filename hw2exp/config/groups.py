"""Define the knobs that all choices of a group share.

A choice's own knobs are defined beside its equations.
"""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from hw2exp.config.knob import Choice, per_replica, shared
from hw2exp.config.registry import CHOICES, register


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[int, int], BeforeValidator(_tuple)]
"""A half-open range of integers, ``[from, to)``, written as a list of two."""

MAX_SEED = 2**63 - 1

Seeds = Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...], BeforeValidator(_tuple)]


class Model(Choice):
    """The knobs of every recurrent model; enough for a cell without its own."""

    hidden_size: int = shared("units of the recurrent state, H", ge=1, le=4096)

    attention: ClassVar[bool] = False
    """True if the cell has queries and keys, which ``norm=qk`` needs."""

    @property
    def compiled(self) -> str:
        """Return the name of the cell's closed form, if there is one."""
        return self.name

    @property
    def products(self) -> int:
        """Return the matrix products of a time step, for estimates of a run's cost."""
        return 4


def lacks_attention(choice: str, config: Any) -> list[str]:
    """Return the problem of a choice that needs queries and keys, in a model without them.

    Args:
        choice: the choice, such as ``norm=qk``.
        config: the whole config.
    """
    if config.model.attention:
        return []
    own = CHOICES["model"].items()
    able = ", ".join(name for name, section in own if getattr(section, "attention", False))
    return [
        f"{choice}: needs a model with queries and keys ({able}), not model={config.model.name}"
    ]


class AnyTask(Choice):
    """The knobs of every task: none."""

    classes: ClassVar[str] = "QRSU"
    """A letter for each class."""

    @property
    def initial_loss(self) -> float:
        """Return the loss of a network that knows nothing, ln C; NaN if the task is not known."""
        return math.log(len(self.classes)) if self.classes else math.nan

    @property
    def initial_loss_text(self) -> str:
        """Return that loss as text, such as ``ln 4 = 1.3863``."""
        return f"ln {len(self.classes)} = {self.initial_loss:.4f}"


class AnyOrder(AnyTask):
    """A task of temporal order: the positions of its two marks."""

    framed: ClassVar[bool] = True
    """True if a sequence starts with B and ends with E."""

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges of the length and of both marks' positions, half-open."""
        raise NotImplementedError


class Optimizer(Choice):
    """The knobs of every optimizer."""

    lr: float = per_replica("learning rate, before the schedule's factor", gt=0)
    weight_decay: float = per_replica("L2 penalty, or decoupled decay (AdamW, Lion, Muon)", ge=0)


class Clip(Choice):
    """The knobs of every clipping: none."""


class Norm(Choice):
    """The knobs of every normalization: none."""


class Regularizer(Choice):
    """The knobs of every regularizer: none."""


class Prune(Choice):
    """The knobs of every way to prune a sweep: none."""


class Schedule(Choice):
    """The knobs of every schedule: none."""


class Metric(Choice):
    """The knobs of every metric."""

    every: int = shared("steps between two measurements", ge=1)


@register("diagnostics", "all")
@register("diagnostics", "none")
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


@register("logger", "none")
class Logger(Choice):
    """The knobs of every logger: none."""

    def prepare(self) -> None:
        """Prepare once, before a sweep's fleets start, what processes can't do at the same time.

        An exception only causes a warning, and the runs go on without the logger.
        """

    def new(self) -> Any:
        """Return the logger of a run, a ``RunLogger``.

        Raises:
            ImportError: a package that it needs is not installed.
        """
        raise NotImplementedError


class Executor(Choice):
    """The knobs of every executor: none."""

    def contradictions(self, config: Any) -> list[str]:
        """Return the problem of a number of local workers for another executor."""
        if self.name == "local" or not config.workers:
            return []
        return [f"workers={config.workers}: is of executor=local, not of executor={self.name}"]

    def prepare(self) -> None:
        """Begin slow preparations in the background, before the folder of a sweep is made."""

    def start(self, folder: Path, workers: int) -> AbstractContextManager[Any]:
        """Start the executor of a sweep's fleets, a ``FleetExecutor``.

        Args:
            folder: the sweep's folder, which this process holds.
            workers: the processes to use on this machine, from the key ``workers``.

        Raises:
            ConfigError: a machine can't take part in the sweep.
        """
        raise NotImplementedError
