"""Temporal order as in Hochreiter & Schmidhuber 1997, experiment 6a."""

from typing import Any, Literal, Self

from pydantic import model_validator

from hw2exp.config.groups import AnyOrder, Range
from hw2exp.config.knob import shared
from hw2exp.config.registry import register
from hw2exp.system.problems import show

EPOCH_SEQUENCES = 1000
"""Sequences of an epoch of the notebook, before whole batches are cut from them."""


def batches_per_epoch(batch_size: int) -> int:
    """Return the number of whole batches in the notebook's epoch: 31 for a batch size of 32."""
    return EPOCH_SEQUENCES // batch_size


class Hochreiter(AnyOrder):
    """A task with a frame, whose ranges are its knobs."""

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

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if problems := self._empty() or self._misplaced():
            raise ValueError("\n".join(problems))
        return self

    def _empty(self) -> list[str]:
        return [
            f"task.{name}={show(bounds)}: must be [from, to) with from < to"
            for name, bounds in zip(("length", "t1", "t2"), self.ranges, strict=True)
            if bounds[0] >= bounds[1]
        ]

    def _misplaced(self) -> list[str]:
        length, t1, t2 = self.ranges
        problems = []
        if t1[0] < 1:
            problems.append(f"task.t1={show(t1)}: must start at 1 or later, after the B")
        if t1[1] > t2[0]:
            problems.append(f"task.t2={show(t2)}: must start at {t1[1]} or later, after t1")
        if t2[1] > length[0] - 1:
            problems.append(
                f"task.length={show(length)}: must start at {t2[1] + 1} or later, "
                "so that t2 comes before the E"
            )
        if length[1] > 10_001:
            problems.append(f"task.length={show(length)}: must end at 10001 or earlier")
        return problems

    def contradictions(self, config: Any) -> list[str]:
        """Return the problems of test passes that don't fit the notebook's epochs."""
        if self.stream != "notebook":
            return []
        epoch = batches_per_epoch(config.batch_size)
        needs = f"task.stream=notebook needs epochs of {epoch} batches of {config.batch_size}"
        if epoch == 0:
            return [f"batch_size={config.batch_size}: must be <= 1000 with task.stream=notebook"]
        problems = []
        if config.eval_every % epoch:
            problems.append(
                f"eval_every={config.eval_every}: must be a multiple of {epoch}; {needs}"
            )
        if config.eval_batches > epoch:
            problems.append(f"eval_batches={config.eval_batches}: must be <= {epoch}; {needs}")
        return problems


for name in ("easy", "normal", "moderate", "hard", "nightmare"):
    register("task", name)(Hochreiter)
