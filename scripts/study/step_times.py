"""Measure how much longer a step takes with a cure than without."""

import statistics
import time

import torch

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance

REPLICAS, STEPS, ROUNDS = 64, 10, 5
"""Runs of a fleet, steps of a turn, and turns of each fleet."""


def slowdown(cured: TrainConfig, plain: TrainConfig) -> float:
    """Return the CPU time of a fleet's step with a cure, relative to that without.

    The two fleets take turns on one core. The value is the median over the pairs of turns; the
    first pair is left out.

    Args:
        cured: the config with the cure.
        plain: the config without.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fleets = [_fleet(cured), _fleet(plain)]
        turns = [[_seconds(fleet, n * STEPS) for fleet in fleets] for n in range(ROUNDS + 1)]
    finally:
        torch.set_num_threads(before)
    return statistics.median(own / other for own, other in turns[1:])


def _fleet(config: TrainConfig) -> Fleet:
    return Fleet([config.model_copy(update={"seed": seed}) for seed in range(REPLICAS)])


def _seconds(fleet: Fleet, done: int) -> float:
    """Make the steps of a turn, and return their CPU time."""
    last, began = done + STEPS, time.process_time()
    while done < last:
        done += len(advance(fleet, done + 1, last).loss)
    return time.process_time() - began
