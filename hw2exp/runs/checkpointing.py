"""Save a checkpoint of each replica of a fleet, and restore a fleet from checkpoints.

A checkpoint belongs to one run and lies in its folder. Runs can resume in another fleet than
before, because each run has the same bits there as alone.
"""

import time
from collections.abc import Mapping
from dataclasses import astuple, fields
from typing import Any

import numpy as np
import torch

from hw2exp.config.run_files import CHECKPOINTS, DIAGNOSTICS_ROWS, METRICS_ROWS
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.explosions import WINDOW
from hw2exp.diagnostics.step_buffer import GRADS, on_host
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import StepMetrics
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.checkpoint_folder import save
from hw2exp.records.diagnostics import COLUMNS
from hw2exp.records.manifest import DamagedError, Facts
from hw2exp.records.metrics import CATALOG
from hw2exp.records.parameters import part_of
from hw2exp.records.rows_file import RowsFile
from hw2exp.records.run_dir import made_with
from hw2exp.records.saved_state import (
    EXPLODED,
    EXPLOSIONS,
    RING,
    SINCE,
    SPIKES,
    Named,
    contradiction,
    steps_since_row,
)
from hw2exp.records.spike import Spike
from hw2exp.runs.recording import Recording
from hw2exp.system import disk
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.terminal import warn


class Checkpointer:
    """A callback after every block of steps, which saves when due and may end training.

    Args:
        fleet: the runs.
        recording: their records.
        interrupt: the signals that ask to end, or to save.
        saved: the checkpoint that each member resumes from, if any.
    """

    def __init__(
        self,
        fleet: Fleet,
        recording: Recording,
        interrupt: Interrupt,
        saved: Mapping[int, Checkpoint],
    ) -> None:
        self.fleet = fleet
        self.recording = recording
        self.interrupt = interrupt
        self._rows = {member: RowsFile(METRICS_ROWS) for member in range(len(recording.folders))}
        self._diagnostics = {
            member: RowsFile(DIAGNOSTICS_ROWS) for member in range(len(recording.folders))
        }
        for member, own in saved.items():
            self._rows[member] = RowsFile(METRICS_ROWS, own, own.facts.rows)
            self._diagnostics[member] = RowsFile(DIAGNOSTICS_ROWS, own, own.facts.diagnostics)

    def __call__(self, step: int) -> bool:
        """Save a checkpoint if one is due after a step; return whether training ends."""
        config = self.fleet.config
        self.interrupt.begin_to_save()
        end, asked = self.interrupt(), self.interrupt.asked_to_save()
        if every := config.checkpoint_every:
            # Also before the last step, whose extra test pass a longer, resumed run would not have.
            due = step % every == 0 or step == config.steps - 1
            if due or end or asked:
                self.save(step)
        return end or self.recording.lost.keys() >= set(map(int, self.fleet.members))

    def save(self, step: int) -> None:
        """Write a checkpoint of every replica in the fleet, after a step."""
        recording = self.recording
        recording.catch_up()
        state = on_host(self.fleet.state.tensors())
        since = recording.since_row()
        for row, (member, config) in enumerate(
            zip(map(int, self.fleet.members), self.fleet.configs, strict=True)
        ):
            folder = recording.folders[member]
            if not recording.keeps_folder(member):
                continue
            disk.make_folder(folder / CHECKPOINTS)
            tensors = {name: value[row] for name, value in state.items()}
            tensors |= {SINCE + name: value[row] for name, value in since.items()}
            tensors[SPIKES] = recording.detector.recent(member)
            tensors[EXPLOSIONS] = recording.explosions.recent(member)
            tensors[EXPLODED] = np.array(recording.explosions.steps(member), dtype=np.int64)
            diagnostics = None
            if (inspection := recording.inspection) and member in inspection.tables:
                ring = inspection.spike_recorder.saved(member)
                tensors |= {RING + name: value for name, value in ring.items()}
                diagnostics = self._diagnostics[member].write(
                    folder, inspection.tables[member], COLUMNS
                )
                inspection.spike_recorder.write(member, folder)
            facts = Facts(
                config=config.model_dump(mode="json"),
                rows=self._rows[member].write(folder, recording.tables[member], CATALOG),
                diagnostics=diagnostics,
                events=recording.events[member].so_far(),
                spikes=[astuple(spike) for spike in recording.detector.spikes(member)],
                seconds=time.monotonic() - recording.began[member],
                versions=made_with(config),
            )
            save(folder, step, tensors, facts, config.keep_checkpoints)


def check_fits(saved: Checkpoint, config: TrainConfig) -> None:
    """Refuse an intact checkpoint that the run can't resume from.

    Raises:
        DamagedError: the tensors are of another program, or contradict the run's facts or config.
    """
    template = on_host(Fleet([config]).state.tensors())
    _tensors(saved, config, {name: value[0] for name, value in template.items()})


def restore(fleet: Fleet, recording: Recording, saved: Mapping[int, Checkpoint]) -> None:
    """Set a fleet that has not begun, and its recording, to the state of its checkpoints.

    Args:
        fleet: the runs.
        recording: their records.
        saved: the checkpoint of each member, all of the same step.

    Raises:
        DamagedError: a run can't resume from its checkpoint.
    """
    template = on_host(fleet.state.tensors())
    step = next(iter(saved.values())).step
    every: list[Named] = []
    known: dict[int, int] = {}
    rings: dict[int, Named] = {}
    for row, (member, config) in enumerate(zip(fleet.members.tolist(), fleet.configs, strict=True)):
        own = saved[member]
        try:
            tensors = _tensors(own, config, {name: value[row] for name, value in template.items()})
        except DamagedError as error:
            raise DamagedError(f"{own.folder}: {error}") from error
        every.append(tensors)
        spikes = [Spike(*values) for values in own.facts.spikes]
        recording.detector.restore(member, step, tensors[SPIKES], spikes)
        recording.explosions.restore(member, step, tensors[EXPLOSIONS], tensors[EXPLODED].tolist())
        recording.began[member] -= own.facts.seconds
        known[member] = len(spikes)
        rings[member] = part_of(RING, tensors)
    together = {
        name: np.stack([own[name] for own in every])
        for name in every[0]
        if name in template or name.startswith(SINCE)
    }
    state = {name: torch.from_numpy(together[name]).to(fleet.device) for name in template}
    fleet.state = fleet.state.with_tensors(state)
    if recording.inspection is not None:
        recording.inspection.spike_recorder.restore(step, rings, known)
        for member in map(int, fleet.members):
            folder = recording.folders[member]
            if lost := recording.inspection.spike_recorder.restore_kept(member, folder):
                warn(lost)
    recording.restore_since_row(part_of(SINCE, together))


def _tensors(saved: Checkpoint, config: TrainConfig, template: Named) -> Named:
    """Return a checkpoint's tensors; refuse them if the run can't resume from them."""
    tensors, expected = saved.tensors(), _expected(saved.step, config, template)
    if other := sorted(tensors.keys() ^ expected.keys()):
        raise DamagedError(f"has other tensors: {other[:3]}")
    expected[EXPLODED] = expected[EXPLODED][0], (tensors[EXPLODED].size,)  # any number
    for name, (dtype, shape) in expected.items():
        value = tensors[name]
        if (value.dtype, value.shape) != (dtype, shape):
            raise DamagedError(f"{name} is {value.dtype} {value.shape}, not {dtype} {shape}")
    if (saved.facts.diagnostics is not None) != config.inspected:
        raise DamagedError("has diagnostics of a run that is not looked into, or lacks them")
    if wrong := contradiction(saved, tensors, config):
        raise DamagedError(wrong)
    return tensors


def _expected(step: int, config: TrainConfig, template: Named) -> dict[str, tuple[Any, Any]]:
    """Return the dtype and the shape of each tensor in a run's checkpoint after a step."""
    options, number = config.diagnostics, np.dtype(np.float64)
    expected: dict[str, tuple[Any, Any]] = {
        **{name: (value.dtype, value.shape) for name, value in template.items()},
        SPIKES: (number, (config.spikes.window,)),
        EXPLOSIONS: (number, (min(step, WINDOW),)),
        EXPLODED: (np.dtype(np.int64), None),
    }
    if count := steps_since_row(step, config):
        expected |= {SINCE + each.name: (number, (count,)) for each in fields(StepMetrics)}
        expected[f"{SINCE}loss"] = template["params"].dtype, (count,)
    if config.inspected and options.spikes:
        count = min(step, options.steps_before)
        for name, value in {**template, GRADS: template["params"]}.items():
            expected[RING + name] = value.dtype, (count, *value.shape)
    return expected
