"""Wait for the progress of a command: a test then interrupts at the same stage on any machine."""

import time

from hw2exp.records.metrics import CATALOG

ROWS = 20
"""Rows in a log by which its run must have made steps."""

# No pattern has two asterisks: such a search enters each folder, and checkpoints come and go.


def steps_saved(folder):
    """Return the steps of the newest checkpoints, summed over the runs in a folder."""
    newest = {}
    for path in folder.glob("*/checkpoints/step_*[0-9]"):
        newest[path.parent] = max(newest.get(path.parent, 0), int(path.name[5:]))
    return sum(newest.values())


def logs(folder):
    """Return the TensorBoard files of a run in a folder, or of the runs of a sweep in it."""
    return [*folder.glob("*/events*"), *folder.glob("*/*/events*")]


def wait_until(process, condition):
    """Wait until a condition holds; return whether the process still runs."""
    while process.poll() is None and not condition():
        time.sleep(0.005)
    return process.poll() is None


def wait_for_steps(process, folder, runs=1):
    """Wait until each run in a folder logs steps; its layout names the tag of a row, too."""
    (tag, _), *_ = CATALOG.values()

    def logged():
        counts = [path.read_bytes().count(tag.encode()) for path in logs(folder)]
        return len(counts) == runs and min(counts) >= ROWS

    assert wait_until(process, logged)
