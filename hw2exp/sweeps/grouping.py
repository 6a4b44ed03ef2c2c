"""Group jobs into fleets: runs of one tensor program, as many as save time."""

import json
from collections.abc import Sequence
from itertools import pairwise

from hw2exp.config.knob import shape_key
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.training_path import training_path
from hw2exp.records.arms import arm_numbers
from hw2exp.tasks.chosen import task_of

CLOSED_FORM, AUTOGRAD = 64, 32
"""Default largest fleets, in runs, as measured. Larger ones gain little (closed form: the part of a
step's cost that doesn't depend on the fleet's size is then a tenth), or take memory (autograd)."""

Fleets = list[list[int]]


def whole_arms(arms: Sequence[Sequence[int]], size: int) -> Fleets:
    """Divide jobs into fleets within which arms are compared, for any number of workers alike.

    A fleet has all arms, with some of their seeds. If there are more arms than its size allows, it
    has some of the arms, with one seed each.

    Args:
        arms: the jobs of each arm, in the same order of their seeds.
        size: the most jobs of a fleet.

    Returns:
        The jobs of each fleet, in rising order.
    """
    fleets: Fleets = []
    seeds = max(map(len, arms))
    for part in _cut(range(len(arms)), size, 1):
        own = [arms[number] for number in part]
        for block in _cut(range(seeds), max(1, size // len(own)), 1):
            fleets.append(sorted(arm[n] for arm in own for n in block if n < len(arm)))
    return fleets


def group(
    configs: Sequence[TrainConfig], workers: int, starts: Sequence[int] | None = None
) -> Fleets:
    """Divide jobs into fleets.

    Args:
        configs: the config of each job.
        workers: the number of processes to spread the fleets over.
        starts: the step that each job resumes from, 0 for a new run; the jobs of a fleet share it,
            unless they are compared with each other (``prune``).

    Returns:
        The indices of each fleet's jobs, the costliest fleets first, so that no long fleet starts
        last.
    """
    shapes: dict[tuple[str, int], list[int]] = {}
    for place, config in enumerate(configs):
        start = starts[place] if starts and not config.prunes else 0
        key = json.dumps(shape_key(config), sort_keys=True), start
        shapes.setdefault(key, []).append(place)
    fleets = []
    for places in shapes.values():
        config = configs[places[0]]
        most = config.fleet_size or default_size(config)
        if config.prunes:
            fleets += whole_arms(_arms(places, configs), most)
            continue
        # No fleet exceeds a worker's share of all jobs.
        size = min(most, -(-len(configs) // workers))
        fleets += _cut(places, size, workers)
    return sorted(fleets, key=lambda fleet: -len(fleet) * cost(configs[fleet[0]]))


def _cut(places: Sequence[int], size: int, workers: int) -> Fleets:
    """Cut into as few equal parts as the size allows; beyond ``workers``, a multiple of it."""
    parts = -(-len(places) // size)
    if parts > workers:
        parts = min(-(-parts // workers) * workers, len(places))
    ends = [i * len(places) // parts for i in range(parts + 1)]
    return [list(places[begin:end]) for begin, end in pairwise(ends)]


def _arms(places: Sequence[int], configs: Sequence[TrainConfig]) -> Fleets:
    """Gather jobs into arms, by seed."""
    arms: dict[int, list[int]] = {}
    own = [configs[place] for place in places]
    for number, place in zip(arm_numbers(own), places, strict=True):
        arms.setdefault(number, []).append(place)
    return [sorted(arm, key=lambda place: configs[place].seed) for arm in arms.values()]


def default_size(config: TrainConfig) -> int:
    """Return the default fleet size of a config, in runs."""
    return AUTOGRAD if by_autograd(config) else CLOSED_FORM


def by_autograd(config: TrainConfig) -> bool:
    """Return whether a config's gradients are computed by autograd."""
    return training_path(config)[0] == "autograd"


def cost(config: TrainConfig) -> float:
    """Estimate a run's relative cost, from its matrix products or autograd's many small steps."""
    model = config.model
    slower = 30 if by_autograd(config) else 1 if config.norm.name == "none" else 3
    slower *= 1 if config.regularizer.name == "none" else 2
    sequence = config.batch_size * task_of(config.task).padded_length
    return float(config.steps * sequence * model.hidden_size**2 * model.products * slower)
