"""Run a fleet whose runs have no folders, because their records are packed together."""

import time
from collections.abc import Callable, Sequence
from math import fsum

import numpy as np

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import Observer, train
from hw2exp.fleet.pruning import Pruning
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.packed_rows import LAST_STEPS, PackedRun
from hw2exp.runs.fleet_run import begin_fleet
from hw2exp.runs.monitor import Floats, Monitor
from hw2exp.system.interrupt import Interrupt


class Packing(Monitor):
    """An observer of the loop that makes the records of all runs when the last one has ended.

    Args:
        fleet: the runs.
        initial: loss and accuracy before training, ``(configs,)`` each.
    """

    def __init__(self, fleet: Fleet, initial: tuple[Floats, Floats]) -> None:
        super().__init__(fleet, initial)
        self._tail = np.empty((0, len(self.initial_loss)))  # the last losses that were searched
        self._ended: dict[int, tuple[float, float | None]] = {}  # seconds and mean of last losses

    def write_rows(self, member: int, steps: Sequence[int], columns: list[list[float]]) -> None:
        """Leave new rows in the member's table."""

    def end(self, rows: Sequence[int]) -> None:
        """Note the duration of the replicas that end, and the mean of their last losses."""
        tail = self._last_losses()
        for row in rows:
            member = int(self.fleet.members[row])
            own = tail[:, member].tolist()
            mean = None if self.fleet.state.diverged_at[row] else fsum(own) / len(own)
            self._ended[member] = time.monotonic() - self.began[member], mean

    def _search(self) -> None:
        self._tail = self._last_losses()
        super()._search()

    def _last_losses(self) -> Floats:
        """Return the losses of the last steps, NaN for runs that had left, ``(n, configs)``."""
        losses = [self._tail, *(losses for losses, _ in self._unsearched)]
        return np.concatenate(losses)[-LAST_STEPS:]

    def finish(self) -> dict[int, PackedRun]:
        """Return the records of all runs, by the places of their configs."""
        self.catch_up()
        members = enumerate(map(int, self.fleet.members))
        self.end([row for row, member in members if member not in self._ended])
        state, runs = self.fleet.outcome, {}
        named = self.fleet.layout.unflatten(state.params)
        whole = {name: value.cpu().numpy() for name, value in named.items()}
        for member, (seconds, last_loss) in sorted(self._ended.items()):
            params = {name: value[member] for name, value in whole.items()}
            result = self.result(member, state, member, params, {}, seconds)
            kept = params if self.fleet.config.packed_parameters else {}
            runs[member] = PackedRun(result, last_loss, self.tables[member], kept)
        return runs


def run_packed(
    configs: Sequence[TrainConfig],
    observe: Callable[[Fleet], Observer],
    interrupt: Interrupt,
) -> tuple[dict[int, PackedRun], dict[int, Exception]] | None:
    """Train a fleet without writing anything.

    Args:
        configs: the config of each replica; they agree in every shared knob.
        observe: a function that makes another observer of the loop.
        interrupt: the interrupt, polled after every block of steps.

    Returns:
        The records of each run that has ended, and the error of each that could not train; None
        after an interrupt.
    """
    with torch_as_known():
        pruning = Pruning(configs) if configs[0].prunes else None
        fleet, initial, out = begin_fleet(configs, pruning=pruning)
        if len(out) == len(configs):
            return {}, out
        packing = Packing(fleet, initial)
        train(fleet, [packing, observe(fleet)], lambda step: bool(interrupt()))
        return None if interrupt() else (packing.finish(), out)
