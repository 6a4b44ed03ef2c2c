"""Try a user's choices for a step before a run's folder is made."""

import json
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw2exp.config.knob import shape_key
from hw2exp.config.own_code import own_choices
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.metrics.protocol import Metric, Step
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import plain_step
from hw2exp.fleet.measurements import StepTrace
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.models.hyperparameters import build
from hw2exp.system.problems import ConfigError
from hw2exp.tasks.task import TRAIN

MIXED = "nothing may be computed over R, the first axis"


def check_own_steps(configs: Iterable[TrainConfig]) -> None:
    """Refuse a user's choices if a step fails, or differs between a run alone and in a fleet.

    Each program with such choices is tried once: configs that differ in data alone share it.

    Args:
        configs: the configs of the runs.

    Raises:
        ConfigError: a choice fails, or mixes replicas; one line for each program.
    """
    programs: dict[tuple[str, ...], tuple[str, TrainConfig]] = {}
    for config in configs:
        if own := own_choices([config]):
            key = json.dumps(shape_key(config), sort_keys=True, default=str)
            programs.setdefault((*own, key), (", ".join(own), config))
    with torch_as_known():
        found = [_problem(config, own) for own, config in programs.values()]
    if problems := dict.fromkeys(problem for problem in found if problem):
        raise ConfigError(problems)


def _problem(config: TrainConfig, own: str) -> str | None:
    """Return the problem of a program's first step, or None.

    Args:
        config: the run's config.
        own: the user's choices in it, for the message.
    """
    other = config.model_copy(update={"seed": config.seed ^ 1})
    try:
        fleets = [Fleet(each, compiled=False) for each in ([config], [config, other])]
        for check in (_batches, _rates, _steps):
            if problem := next(check(*fleets), None):
                return f"{own}: {problem}"
    except ConfigError:
        raise
    except Exception as error:  # from the user's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"{own}: a step fails: {what} ({last.filename}, line {last.lineno})"
    return None


def _batches(alone: Fleet, both: Fleet) -> Iterator[str]:
    """Yield the problems of a task's batches: they depend on seed and step alone."""
    size = alone.config.batch_size
    drawn, again, in_fleet = (fleet.batch(1, TRAIN, size) for fleet in (alone, alone, both))
    for name, a, b, c in zip(("symbols", "labels"), drawn, again, in_fleet, strict=True):
        if not torch.equal(a, b):
            yield f"batch: other {name} when drawn again; must depend on its arguments alone"
        if not torch.equal(a[0], c[0]):
            yield f"batch: other {name} alone than in a fleet; {MIXED}"


def _rates(alone: Fleet, both: Fleet) -> Iterator[str]:
    """Yield the problems of a schedule at the first, the middle and the last step."""
    steps = alone.config.steps
    for fleet in (alone, both):
        shape = (len(fleet.configs),)
        observed = fleet.schedule.observe(torch.ones(shape), fleet.state.schedule)
        for done in (0, steps // 2, steps - 1):
            for state in (fleet.state.schedule, observed):
                factor = fleet.schedule.at(done, state)
                if factor.shape != shape or not bool(factor.isfinite().all()):
                    yield (
                        f"schedule: at({done}, …) must be finite numbers of shape (R,), which is "
                        f"{shape} here, not {_shown(factor)}"
                    )


def _steps(alone: Fleet, both: Fleet) -> Iterator[str]:
    """Yield the differences between a step of a run alone and in a fleet, and of its metric."""
    trials = [_MetricTrial(fleet) for fleet in (alone, both)]
    for fleet, trial in zip((alone, both), trials, strict=True):
        plain_step(fleet, 1, trial)
    for trial in trials:
        yield from trial.problems
    states = [fleet.state.tensors() for fleet in (alone, both)]
    for what, found in (("step", states), ("metric", [trial.columns for trial in trials])):
        for name in found[0]:
            a, b = (each[name][0].numpy() for each in found)
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                yield f"a run's {what} is not the same alone and in a fleet, in {name}; {MIXED}"


class _MetricTrial:
    """An inspector that measures the metric of a step, and checks its columns."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.columns: dict[str, Tensor] = {}
        self.problems: list[str] = []

    def wants_flow(self, step: int) -> bool:
        return False

    def inspect(self, step: int, trace: StepTrace) -> None:
        config, shape = self._fleet.config, (len(trace.labels),)
        metric: Metric = build("metric", [config.metric], self._fleet.device)
        found: Any = metric.measure(Step.of(trace, self._fleet.model))
        if not isinstance(found, dict):
            self.problems.append(f"metric: must return its columns by name, not {_shown(found)}")
            return
        self.columns = found
        self.problems += [
            f"metric: {name} must be a tensor (R,), which is {shape} here, not {_shown(own)}"
            for name, own in found.items()
            if not isinstance(own, Tensor) or own.shape != shape
        ]


def _shown(value: object) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
