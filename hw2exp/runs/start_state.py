"""Find the state nearest before a step from which a run can be made again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.state import FleetState
from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.saved_state import SPIKES
from hw2exp.records.spike import Spike
from hw2exp.runs.checkpointing import check_fits
from hw2exp.system.problems import ConfigError
from hw2exp.system.terminal import warn


@dataclass(frozen=True)
class StartState:
    """A state of a run to train on from.

    Args:
        made: the number of steps made so far.
        state: the state, with R = 1.
        recent: the losses of the last ``spikes.window`` steps, NaN before the first, ``(window,)``.
        spikes: the spikes so far.
    """

    made: int
    state: FleetState
    recent: Floats
    spikes: Sequence[Spike]


def beginning(config: TrainConfig) -> StartState:
    """Return the state before the first step of a run."""
    return StartState(0, Fleet([config]).state, np.full(config.spikes.window, np.nan), [])


def nearest(folder: Path, config: TrainConfig, step: int) -> StartState:
    """Return the state of a run's newest usable checkpoint before a step, else its beginning.

    Args:
        folder: the run folder.
        config: the run's config.
        step: the first step to make again.
    """
    start = beginning(config)
    try:
        found = newest(folder, warn, config, check_fits, before=step)
    except ConfigError:  # of another run
        return start
    if found is None:
        return start
    tensors = found.tensors()
    own = {name: torch.from_numpy(tensors[name])[None] for name in start.state.tensors()}
    spikes = [Spike(*values) for values in found.facts.spikes]
    return StartState(found.step, start.state.with_tensors(own), tensors[SPIKES], spikes)
