"""Jobs into fleets: which runs can be one tensor program, and how many should be."""

import json
from collections.abc import Sequence
from typing import Any

from hw2exp.config.knob import Section, is_per_replica
from hw2exp.config.schema import AttnRNN, TrainConfig

WORKING_SET = 16 * 2**20
"""Bytes that a fleet's states may take by default: more would fall out of a core's cache."""

LARGEST = 64
"""Runs in a fleet by default, at most: beyond, nothing is gained by company."""

Fleets = list[list[int]]


def shape_key(section: Section) -> dict[str, Any]:
    """What fixes the program's shape: all knobs that the schema calls shared.

    Args:
        section: a whole config, or a part of one.
    """
    key = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            key[name] = shape_key(value)
        elif not is_per_replica(field):
            key[name] = value
    return key


def group(configs: Sequence[TrainConfig], workers: int) -> Fleets:
    """Divide jobs into fleets.

    Args:
        configs: one a job.
        workers: processes that fleets are to be spread over.

    Returns:
        The jobs of each fleet by their places, the costliest fleets first, so that no worker is
        left with a long one at the end.
    """
    shapes: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        shapes.setdefault(json.dumps(shape_key(config), sort_keys=True), []).append(place)
    fleets = []
    for places in shapes.values():
        config = configs[places[0]]
        # Neither beyond the cache, nor beyond a worker's share of all jobs.
        size = min(config.fleet_size or default_size(config), -(-len(configs) // workers))
        fleets += _cut(places, size, workers)
    return sorted(fleets, key=lambda fleet: -len(fleet) * _cost(configs[fleet[0]]))


def _cut(places: list[int], size: int, workers: int) -> Fleets:
    """Cut into equal parts, as few as the size allows; if not few, then equally many a worker."""
    parts = -(-len(places) // size)
    if parts > workers:
        parts = min(-(-parts // workers) * workers, len(places))
    return [places[i * len(places) // parts : (i + 1) * len(places) // parts] for i in range(parts)]


def default_size(config: TrainConfig) -> int:
    """How many runs of a config suit the cache.

    Args:
        config: the run.
    """
    return max(1, min(LARGEST, WORKING_SET // bytes_of_states(config)))


def bytes_of_states(config: TrainConfig) -> int:
    """Roughly what a run's states take during a step.

    Args:
        config: the run.
    """
    model, per_state = config.model, 5
    if isinstance(model, AttnRNN):
        per_state = 4 + 2 * model.lags
    elif model.name in ("lstm", "attn_rnn_inf"):
        per_state = 9
    return 4 * per_state * config.batch_size * config.task.length[1] * model.hidden_size


def _cost(config: TrainConfig) -> int:
    return config.steps * bytes_of_states(config) * config.model.hidden_size
