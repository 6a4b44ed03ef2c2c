"""Run a fleet whose runs have no folders: their records are packed together."""

from collections.abc import Callable, Sequence
from math import fsum

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import Observer, train
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.packed_fleet import PackedRun
from hw2exp.runs.fleet_run import begin_fleet
from hw2exp.runs.monitor import Floats, Monitor
from hw2exp.system.interrupt import Interrupt


class Packing(Monitor):
    """An observer of the loop that keeps the records of the runs until all have ended.

    Args:
        fleet: the runs.
        initial: loss and accuracy before training, one a config.

    Attributes:
        runs: the records of each run that has ended, by its place among the configs.
    """

    def __init__(self, fleet: Fleet, initial: tuple[Floats, Floats]) -> None:
        super().__init__(fleet, initial)
        self.runs: dict[int, PackedRun] = {}

    def write_rows(self, member: int, steps: Sequence[int], columns: list[list[float]]) -> None:
        """Leave new rows in the member's table."""

    def end(self, rows: Sequence[int]) -> None:
        """Keep the records of the replicas that end."""
        for row in rows:
            member = int(self.fleet.members[row])
            result, params = self.result(row, {})
            last = self.tail[:, member].tolist()
            mean = fsum(last) / len(last) if result.diverged_at is None else None
            self.runs[member] = PackedRun(result, mean, self.tables[member], params)

    def finish(self) -> None:
        """Keep the records of all remaining replicas."""
        self.catch_up()
        members = enumerate(map(int, self.fleet.members))
        self.end([row for row, member in members if member not in self.runs])


def run_packed(
    configs: Sequence[TrainConfig],
    observe: Callable[[Fleet], Observer],
    interrupt: Interrupt,
) -> tuple[dict[int, PackedRun], dict[int, Exception]] | None:
    """Train a fleet without writing anything.

    Args:
        configs: one config a replica; they agree in every shared knob.
        observe: a function that makes another observer of the loop.
        interrupt: the interrupt, polled after every block of steps.

    Returns:
        The records of each run that has ended, and the error of each that could not train; None
        after an interrupt.
    """
    with torch_as_known():
        fleet, initial, out = begin_fleet(configs)
        packing = Packing(fleet, initial)
        if len(out) < len(configs):
            train(fleet, [packing, observe(fleet)], lambda step: bool(interrupt()))
            if interrupt():
                return None
            packing.finish()
        return packing.runs, out
