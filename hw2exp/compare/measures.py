"""Define the measures by which arms are compared: each gives one number per seed."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from hw2exp.compare.column_measures import REDUCTIONS, column_of, value_of, words_of
from hw2exp.compare.columns import largest
from hw2exp.diagnostics.rate_sensitivity import rate_sensitivity
from hw2exp.diagnostics.spike_score import SpikeScore, spike_score
from hw2exp.records.arms import RATE, Arm, Key, Run
from hw2exp.records.outcomes import last_loss
from hw2exp.records.run_dir import RunResult
from hw2exp.records.step_table import STEP
from hw2exp.system.problems import ConfigError, nearest

PER = 1_000
"""The number of steps to which counts of spikes refer."""

Groups = list[tuple[Sequence[Arm], Sequence[Arm]]]
"""The arms of both sides of each comparison; several arms of a side are averaged within a seed."""


@dataclass(frozen=True)
class Measure:
    """A measure of a run.

    Args:
        words: its name in a table.
        of: the function that returns a run's value; None if it is unknown.
        unit: the function that returns the smallest nonzero difference of two runs; 0 if any
            difference is possible.
        cut_short: whether the measure is small because a run diverged early; it then decides
            nothing where more runs diverge on one side.
    """

    words: str
    of: Callable[[Run], float | None]
    unit: Callable[[Run], float] = lambda run: 0.0
    cut_short: bool = False

    def by_seed(self, arms: Sequence[Arm]) -> dict[int, float]:
        """Return the mean over some arms for each seed that all of them have."""
        found = {}
        for seed in _common_seeds(arms):
            values = [self.of(arm.runs[seed]) for arm in arms]
            known = [value for value in values if value is not None and math.isfinite(value)]
            if len(known) == len(values):
                found[seed] = sum(known) / len(known)
        return found

    def groups(self, groups: Groups) -> Groups:
        """Return the groups to compare, given those that were asked for; here the same."""
        return groups


class RateSensitivity(Measure):
    """The learning-rate sensitivity, a measure of arms that differ in the learning rate alone."""

    def by_seed(self, arms: Sequence[Arm]) -> dict[int, float]:
        """Return the mean over groups of their sensitivities, for each seed that all arms have."""
        own = [_sensitivity(group) for group in by_rates(arms).values()]
        return {seed: float(np.mean([each[seed] for each in own])) for seed in _in_all(own)}

    def groups(self, groups: Groups) -> Groups:
        """Join groups that differ in the learning rate alone; keep those with two rates or more."""
        joined: dict[tuple[Key, ...], tuple[dict[str, Arm], dict[str, Arm]]] = {}
        for sides in groups:
            key = tuple(key for side in sides for key in by_rates(side))
            for arms, own in zip(joined.setdefault(key, ({}, {})), sides, strict=True):
                arms |= {arm.name: arm for arm in own}
        found = [tuple([*arms.values()] for arms in sides) for sides in joined.values()]
        return [
            (a, b)
            for a, b in found
            if all(len(own) > 1 for side in (a, b) for own in by_rates(side).values())
        ]


def by_rates(arms: Iterable[Arm]) -> dict[Key, list[Arm]]:
    """Group the arms that differ in the learning rate alone, by their other settings."""
    groups: dict[Key, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.settings_but(RATE), []).append(arm)
    return groups


def _sensitivity(arms: Sequence[Arm]) -> dict[int, float]:
    """Return the sensitivity of each seed that has a run at every rate."""
    seeds = _common_seeds(arms)
    runs = [[arm.runs[seed].result for seed in seeds] for arm in arms]
    if not seeds:
        return {}
    values = rate_sensitivity(
        [[result.final_or("test_loss", math.inf) for result in own] for own in runs],
        [[result.initial["loss"] for result in own] for own in runs],
    )
    return dict(zip(seeds, values.tolist(), strict=True))


def _common_seeds(arms: Sequence[Arm]) -> list[int]:
    return _in_all([arm.runs for arm in arms])


def _in_all(mappings: Sequence[Mapping[int, object]]) -> list[int]:
    first, *others = mappings
    return [seed for seed in first if all(seed in each for each in others)]


def spikes_per_1000(result: RunResult) -> float:
    """Return the number of spikes per 1,000 steps of a run."""
    return PER * len(result.spikes) / result.step


def count_spikes(result: RunResult, key: str) -> int:
    """Return the number of spikes with a property, such as ``above_initial``."""
    return sum(bool(spike[key]) for spike in result.spikes)


def watched_until(run: Run) -> int:
    """Return the step at which a run solved the task, or the last at which it is known unsolved.

    A diverged run won't solve the task, so it counts as unsolved to the end of its config's steps.
    """
    if run.result.solved_at is not None:
        return run.result.solved_at
    return run.config.steps if run.result.diverged_at is not None else run.result.step


def score_of(run: Run, metric: str) -> SpikeScore:
    """Return the spike score of a run's metric, a column of the catalog."""
    frame = run.metrics()
    logged = frame[STEP].to_numpy() % run.config.log_every == 0  # without rows of test passes alone
    return spike_score(frame[metric].to_numpy()[logged], run.config.log_every)


def _limited(run: Run, loss: float | None) -> float:
    """Return a final loss, at most the initial one; for a diverged run, the initial one."""
    initial = run.result.initial["loss"]
    if loss is None or math.isnan(loss) or run.result.diverged_at is not None:
        return initial
    return min(loss, initial)


def _one(run: Run) -> float:
    return 1.0


def _per_1000(run: Run) -> float:
    return PER / run.result.step


def _per_row(run: Run) -> float:
    return run.config.log_every / run.result.step


def _explosions(run: Run) -> float | None:
    steps = run.result.explosions.get("steps")
    return None if steps is None else PER * steps / run.result.step


MEASURES: Mapping[str, Measure] = {
    "spikes": Measure(
        "spikes per 1,000 steps", lambda run: spikes_per_1000(run.result), _per_1000, True
    ),
    "above_initial": Measure(
        "spikes above the initial loss per 1,000 steps",
        lambda run: PER * count_spikes(run.result, "above_initial") / run.result.step,
        _per_1000,
        True,
    ),
    "spike_score": Measure(
        "spike score of the loss", lambda run: score_of(run, "loss_train").share, _per_row, True
    ),
    "grad_spike_score": Measure(
        "spike score of the gradient norm",
        lambda run: score_of(run, "grad_norm_raw").share,
        _per_row,
        True,
    ),
    "explosions": Measure("exploding gradients per 1,000 steps", _explosions, _per_1000, True),
    "diverged": Measure("diverged", lambda run: float(run.result.diverged_at is not None), _one),
    "solved": Measure("solved", lambda run: float(run.result.solved_at is not None), _one),
    "ends_solved": Measure("ends solved", lambda run: float(bool(run.result.ends_solved)), _one),
    "steps_to_solve": Measure(
        "steps to solve, all of them if unsolved",
        lambda run: run.config.steps if run.result.solved_at is None else run.result.solved_at,
        lambda run: run.config.eval_every,
    ),
    "last_loss": Measure(
        "mean training loss of the last steps, at most the initial",
        lambda run: _limited(run, last_loss(run)),
    ),
    "test_loss": Measure(
        "final test loss, at most the initial",
        lambda run: _limited(run, run.result.final["test_loss"]),
    ),
    "test_accuracy": Measure(
        "final test accuracy, 0 if diverged", lambda run: run.result.final_or("test_accuracy", 0.0)
    ),
    "initial_loss": Measure("initial loss", lambda run: run.result.initial["loss"]),
    "largest_grad": Measure(
        "largest gradient norm", lambda run: largest(run.metrics(), "grad_norm_raw_max")
    ),
    "largest_update": Measure(
        "largest update", lambda run: largest(run.metrics(), "update_norm_max")
    ),
    "last_step": Measure("last step", lambda run: run.result.step, _one),
    "seconds": Measure("seconds", lambda run: run.result.seconds),
    "lr_sensitivity": RateSensitivity(
        "learning-rate sensitivity of the test loss", lambda run: None
    ),
}
"""The measures by name. A final loss counts as at most the initial one, as in learning-rate
sensitivity: a diverged run then counts as one that did not train."""


@cache
def measure_of(name: str) -> Measure:
    """Return a measure by its name: one of ``MEASURES``, or one of a column.

    Raises:
        KeyError: there is no such measure.
    """
    if name in MEASURES or (own := column_of(name)) is None:
        return MEASURES[name]
    return Measure(words_of(*own), partial(value_of, *own))


def check_measures(names: Sequence[str], what: str) -> None:
    """Refuse unknown measures, and one that is named twice.

    Args:
        names: the names of measures.
        what: the option that gives them, for the message.

    Raises:
        ConfigError: a name is unknown, or given twice.
    """
    for place, name in enumerate(names):
        if name not in MEASURES and column_of(name) is None:
            hint = f"{nearest(name, MEASURES)}; or a column with .{', .'.join(REDUCTIONS)}"
            raise ConfigError([f"{what}={name}: no such measure; {hint}"])
        if name in names[:place]:
            raise ConfigError([f"{what}={name}: stands there twice"])
