"""Saves what every replica of a fleet has come to, and brings a fleet back to it.

A checkpoint belongs to one run and lies in its folder. So runs that were killed together can go on
in another company: each gives the bits that it gives alone.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp import disk
from hw2exp.config.folder import CHECKPOINTS
from hw2exp.diagnostics.explosions import WINDOW
from hw2exp.diagnostics.ring import GRADS
from hw2exp.diagnostics.spikes import Spike
from hw2exp.fleet import Fleet
from hw2exp.interrupt import Interrupt
from hw2exp.models import own_digest
from hw2exp.recording import Recording
from hw2exp.records.checkpoint import ROWS, SEEN, Checkpoint
from hw2exp.records.checkpoints import save
from hw2exp.records.diagnostics import COLUMNS, DiagnosticsTable
from hw2exp.records.manifest import DamagedError, Facts, Rows
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.run_dir import made_with
from hw2exp.training import Measured

SINCE, SPIKES, EXPLOSIONS, EXPLODED = "since_row.", "spikes.recent", "explosions.recent", "exploded"
RING = "ring."

Named = dict[str, NDArray[Any]]


class Checkpointer:
    """Called after every step: saves where that is due, and says whether training is to end.

    Args:
        fleet: the runs.
        recording: what was recorded of them.
        interrupt: asked whether to end, or to save.
        saved: the checkpoint that each replica goes on from, if any.
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
        self._rows = {member: _WrittenRows(ROWS) for member in range(len(recording.folders))}
        self._seen = {member: _WrittenRows(SEEN) for member in range(len(recording.folders))}
        for member, own in saved.items():
            self._rows[member] = _WrittenRows(ROWS, own, own.facts.rows)
            self._seen[member] = _WrittenRows(SEEN, own, own.facts.diagnostics)

    def __call__(self, step: int) -> bool:
        """Save what a step has come to, if it is time; says whether training is to end.

        Args:
            step: the step.
        """
        config = self.fleet.config
        self.interrupt.begin_to_save()
        end, asked = self.interrupt(), self.interrupt.asked_to_save()
        if every := config.checkpoint_every:
            # Before the last step, which ends with a test pass of its own: more steps may follow.
            due = step % every == 0 or step == config.steps - 1
            if due or end or asked:
                self.save(step)
        return end or self.recording.lost.keys() >= set(map(int, self.fleet.members))

    def save(self, step: int) -> None:
        """Write a checkpoint of every replica that takes part.

        Args:
            step: the step that was made last.
        """
        recording = self.recording
        recording.search()
        state = _host(self.fleet.state.tensors())
        since = _host(recording.since_row())
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
            seen = None
            if (inspection := recording.inspection) and member in inspection.tables:
                ring = inspection.forensics.saved(member)
                tensors |= {RING + name: value for name, value in ring.items()}
                seen = self._seen[member].write(folder, inspection.tables[member], COLUMNS)
                inspection.forensics.write(member, folder)
            facts = Facts(
                config=config.model_dump(mode="json"),
                rows=self._rows[member].write(folder, recording.tables[member], CATALOG),
                diagnostics=seen,
                events=recording.events[member].so_far(),
                spikes=[astuple(spike) for spike in recording.detector.spikes(member)],
                seconds=time.monotonic() - recording.began[member],
                versions=made_with(own_digest(config.model.name)),
            )
            save(folder, step, tensors, facts, config.keep_checkpoints)


class _WrittenRows:
    """A table of a run as it lies on the disk, added to at every checkpoint."""

    def __init__(
        self, name: str, saved: Checkpoint | None = None, about: Rows | None = None
    ) -> None:
        self.name = name
        content = saved.rows(name, about) if saved else b""
        self.count = about.count if about else 0
        self.bytes = len(content)
        self._digest = hashlib.sha256(content)

    def write(
        self, run: Path, table: MetricsTable | DiagnosticsTable, columns: Iterable[str]
    ) -> Rows:
        content = table.rows(self.count)
        disk.append(run / CHECKPOINTS / self.name, self.bytes, content)
        self.count, self.bytes = len(table), self.bytes + len(content)
        self._digest.update(content)
        return Rows(
            columns=list(columns),
            count=self.count,
            bytes=self.bytes,
            sha256=self._digest.hexdigest(),
        )


def restore(fleet: Fleet, recording: Recording, saved: Mapping[int, Checkpoint]) -> None:
    """Bring a fleet that has not begun, and what is recorded of it, to its checkpoints.

    Args:
        fleet: the runs.
        recording: of them.
        saved: the checkpoint of each replica, all of the same step.

    Raises:
        DamagedError: a checkpoint of another program.
    """
    template = _host(fleet.state.tensors())
    step = next(iter(saved.values())).step
    columns: list[Named] = []
    known: dict[int, int] = {}
    rings: dict[int, Named] = {}
    for row, member in enumerate(map(int, fleet.members)):
        tensors = saved[member].tensors()
        own = {name: value[row] for name, value in template.items()}
        try:
            window, before = recording.detector.window, fleet.config.diagnostics.steps_before
            columns.append(_checked(tensors, own, step, window, before))
        except DamagedError as error:
            raise DamagedError(f"{saved[member].folder}: {error}") from error
        spikes = [Spike(*values) for values in saved[member].facts.spikes]
        recording.detector.restore(member, step, tensors[SPIKES], spikes)
        recording.explosions.restore(member, step, tensors[EXPLOSIONS], tensors[EXPLODED].tolist())
        recording.began[member] -= saved[member].facts.seconds
        known[member] = len(spikes)
        rings[member] = {
            name.removeprefix(RING): value
            for name, value in tensors.items()
            if name.startswith(RING)
        }
    if len({frozenset(own) for own in columns}) > 1:
        raise DamagedError("checkpoints of different rhythms can't be one fleet")
    together = {
        name: torch.from_numpy(np.stack([own[name] for own in columns])).to(fleet.device)
        for name in columns[0]
    }
    fleet.state = fleet.state.with_tensors(together)
    if recording.inspection is not None:
        recording.inspection.forensics.restore(step, rings, known)
        for member in map(int, fleet.members):
            recording.inspection.forensics.restore_kept(member, recording.folders[member])
    recording.restore_since_row(
        {name.removeprefix(SINCE): v for name, v in together.items() if name.startswith(SINCE)}
    )


def _checked(tensors: Named, own: Named, step: int, window: int, ring: int) -> Named:
    """Of a checkpoint's tensors those that become the fleet's, if they are what they must be."""
    since = {SINCE + each.name for each in fields(Measured)}
    given = {name: tensors[name] for name in since & tensors.keys()}
    expected = {
        **{name: (value.dtype, value.shape) for name, value in own.items()},
        **{name: (value.dtype, next(iter(given.values())).shape) for name, value in given.items()},
        SPIKES: (np.dtype(np.float64), (window,)),
        EXPLOSIONS: (np.dtype(np.float64), (min(step, WINDOW),)),
        EXPLODED: (np.dtype(np.int64), tensors.get(EXPLODED, np.empty(0)).shape[:1]),
    }
    if any(name.startswith(RING) for name in tensors):
        kept = {**own, GRADS: own["params"]}
        expected |= {
            RING + name: (value.dtype, (min(step, ring), *value.shape))
            for name, value in kept.items()
        }
    if tensors.keys() != expected.keys() or (given and given.keys() != since):
        raise DamagedError(f"has other tensors: {sorted(tensors.keys() ^ expected.keys())}")
    for name, (dtype, shape) in expected.items():
        value = tensors[name]
        if value.dtype != dtype or value.shape != shape:
            found, wanted = f"{value.dtype} {value.shape}", f"{dtype} {shape}"
            raise DamagedError(f"{name} is {found}, not {wanted}")
    flat = all(value.ndim == 1 and value.dtype.kind == "f" for value in given.values())
    if not (flat and tensors["active"] and tensors["step"] == step):
        raise DamagedError(f"is not of a run that trains at step {step}")
    return {name: tensors[name] for name in [*own, *sorted(given)]}


def _host(tensors: Mapping[str, torch.Tensor]) -> Named:
    return {name: value.cpu().numpy() for name, value in tensors.items()}
