"""Lives of the command: forked from one process that has imported all, so that each is short.

As a program: ``python lives.py random MODEL KILLS FOLDER WORD…`` or ``python lives.py operations
FAULTS FOLDER SHARE OF WORD…``, with more words of the command, or ``packed`` for ``operations``, a
sweep with packed records; prints a line of JSON.
"""

import errno
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

# All that a run needs, before the first fork.
import hydra  # noqa: F401
import polars  # noqa: F401
import safetensors.numpy  # noqa: F401
import tensorboard.plugins.custom_scalar.metadata
import tensorboard.plugins.hparams.metadata
import tensorboard.plugins.text.metadata  # noqa: F401

import hw2exp.runs.recording
import hw2exp.sweeps.execution  # noqa: F401
from hw2exp.config.command_line import read
from hw2exp.fleet.evaluation import evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.checkpoint_folder import newest
from hw2exp.runs import checkpointing
from hw2exp.system import disk
from hw2exp.train import main
from tests.cheap import composed_once, in_process, no_disk, without_hydra

EVERY = 10
RUN = "run"
SHORT = [
    "task=easy", "steps=120", "eval_every=25", "eval_batches=2", "log_every=3", "plot=false",
    f"checkpoint_every={EVERY}", "batch_size=8", f"hydra.run.dir={RUN}", f"resume={RUN}",
]  # fmt: skip
"""The words are the same in every life, so that Hydra composes them once, before the first fork."""

PACKED = [
    "-m", "task=easy", "model=rnn", "batch_size=4", "steps=12", "eval_every=6", "eval_batches=2",
    "log_every=3", "plot=false", "records=packed", "fleet_size=2", "seed=range(0,4)",
    f"hydra.sweep.dir={RUN}", f"resume={RUN}",
]  # fmt: skip
"""A sweep of two fleets."""

OPERATIONS = {"mkdir", "open", "write", "fsync", "ftruncate", "replace", "rename", "unlink",
              "rmdir"}  # fmt: skip


class Faulty:
    """The system, of which one operation goes wrong.

    Args:
        number: which one, from 0; if none, they are counted.
        fault: ``kill`` or ``fail``; of every second operation, a write is half done before.
        note: is told of how many there have been.
    """

    def __init__(self, number, fault, note):
        self.number, self.fault, self.note, self.count = number, fault, note, 0

    def __getattr__(self, name):
        if name not in OPERATIONS:
            return getattr(os, name)
        return lambda *args, **kwargs: self._do(name, *args, **kwargs)

    def _do(self, name, *args, **kwargs):
        place, self.count = self.count, self.count + 1
        self.note(self.count)
        if place == self.number:
            odd = place % 2
            if name == "write" and odd:
                os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            number = errno.ENOSPC if odd else errno.EIO
            raise OSError(number, os.strerror(number))
        return getattr(os, name)(*args, **kwargs)


class Life:
    """A process that runs the command.

    Args:
        words: the command's.
        folder: where it stands; it has one run.
        number: the operation that goes wrong in it, if one does.
        fault: how.
    """

    def __init__(self, words, folder, number=None, fault="kill"):
        folder.mkdir(exist_ok=True)
        self._shared = mmap.mmap(-1, 16)
        self._errors = folder / f"stderr.{time.monotonic_ns()}"
        self.pid = os.fork()
        if self.pid:
            return
        code = 99
        try:
            os.chdir(folder)
            for stream, path in ((1, os.devnull), (2, self._errors)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            disk.os = Faulty(number, fault, lambda count: self._note(8, count))
            after = checkpointing.Checkpointer.__call__

            def noted(self_, step):
                end = after(self_, step)
                self._note(0, step)
                return end

            checkpointing.Checkpointer.__call__ = noted
            code = main(words)
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _note(self, place, value):
        self._shared[place : place + 8] = struct.pack("q", value)

    @property
    def step(self):
        """The last step that it has finished."""
        return struct.unpack("q", self._shared[:8])[0]

    @property
    def operations(self):
        """How many operations it has begun."""
        return struct.unpack("q", self._shared[8:])[0]

    def kill(self):
        """Kill it, if it lives."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self):
        """Wait for its end: its exit status, negative where it was a signal's; its errors."""
        _, status = os.waitpid(self.pid, 0)
        errors = self._errors.read_text() if self._errors.exists() else ""
        self._errors.unlink(missing_ok=True)
        return os.waitstatus_to_exitcode(status), errors


def warm(words):
    """Load what a run needs, its config and kernels too, before the first fork."""
    config = read([*words, "steps=2"]).jobs[0].config
    with torch_as_known():
        fleet = Fleet([config])
        evaluate_initial(fleet)
        train(fleet, [])


def random_kills(model, kills, folder, *more):
    """Kill runs of a model at random instants, until they come to their end all the same."""
    words = [*SHORT, f"model={model}", *more]
    warm(words)
    draw = random.Random(model)
    began = time.monotonic()
    assert Life(words, folder / "whole").end()[0] == 0
    length = time.monotonic() - began
    lost, done, runs = [], 0, 0
    while done < kills:
        here = folder / str(runs)
        life = Life(words, here)
        time.sleep(draw.uniform(0, length))
        life.kill()
        code, errors = life.end()
        assert code in (0, -signal.SIGKILL), (code, errors)
        assert "warning" not in errors, errors
        if code == 0:
            runs += 1
            length *= 0.8  # a machine that was busy during the first life has time now
            continue
        done += 1
        found = newest(here / RUN, sys.exit)  # nothing there is damaged
        lost.append(life.step - (found.step if found else 0))
    while Life(words, here).end()[0] != 0:
        pass
    return {"kills": done, "runs": runs + 1, "redone": max(lost)}


def operations(words, fault, folder, share, of):
    """Let each operation of a command go wrong in turn, and a second one where it resumes."""
    warm(words)
    life = Life(words, folder / "whole")
    assert life.end()[0] == 0
    total, cases, failures = life.operations, 0, []
    for number in range(share, total, of):
        for own in (number, (7 * number) % total, None):
            code, errors = Life(words, folder / str(number), own, fault).end()
            cases += own is not None and code != 0
            told = code == 1 and errors.count("\n") == 1 and errors.startswith("hw2exp: ")
            expected = code == -signal.SIGKILL if fault == "kill" else told
            if not (code == 0 or (own is not None and expected)):
                failures.append((number, own, code, errors))
    return {"operations": total, "cases": cases, "failures": failures}


if __name__ == "__main__":
    kind, what, *rest = sys.argv[1:]
    with composed_once(), in_process(), no_disk():
        if kind == "random":
            answer = random_kills(what, int(rest[0]), Path(rest[1]), *rest[2:])
        else:
            one = [*SHORT[1:], "task=easy", "model=attn_rnn", "steps=25", *rest[3:]]
            words, answer = PACKED if kind == "packed" else one, {}
            for fault in what.split("+"):
                folder = Path(rest[0]) / fault
                folder.mkdir()
                with without_hydra():  # which does none of the operations of a single run
                    answer[fault] = operations(words, fault, folder, int(rest[1]), int(rest[2]))
    print(json.dumps(answer))
