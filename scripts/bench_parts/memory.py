"""Measure the peak memory of a large sweep, summed over all processes of the command."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_parts.measure import row, table, tail

COMMAND = [sys.executable, "-m", "hw2exp.train", "-m", "model=gated_rnn", "task=normal"]
INTERVAL = 0.05
"""Seconds between two samples."""

BOUND = 2 * 2**30


def main(quick: bool) -> None:
    replicas, steps = (8, 10) if quick else (1024, 100)
    print(
        f"{replicas} replicas (gated RNN, NORMAL, {steps} steps): the peak of the memory of all "
        f"processes of the command, looked at every {1e3 * INTERVAL:.0f} ms; PSS counts a page "
        "that several share once.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [*COMMAND, f"seed=range(0,{replicas})", f"steps={steps}"]
        peak = watch(command, Path(folder))
    table("", "peak MiB", "processes")
    for key, (size, processes) in peak.items():
        row(f"sum of {key}", f"{size / 2**20:.0f}", processes)
    print(f"\nExpected: less than {BOUND // 2**20} MiB of PSS.")


def watch(command: list[str], folder: Path) -> dict[str, tuple[int, int]]:
    """Run a command; return the largest sums, each with the number of processes at that moment."""
    peak = {"Pss": (0, 0), "Rss": (0, 0)}
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            seen = [text for pid in tree(process.pid) if (text := rollup(pid))]
            for key in peak:
                peak[key] = max(peak[key], (sum(size(text, key) for text in seen), len(seen)))
            time.sleep(INTERVAL)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}\n{tail(folder / 'log.txt')}")
    return peak


def tree(root: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        children.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
        yield pid


def rollup(pid: int) -> str:
    """Read the kernel's memory report of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return ""


def size(text: str, key: str) -> int:
    """Return the bytes of a key in a ``smaps_rollup`` report."""
    return 1024 * sum(
        int(kilobytes) for kilobytes in re.findall(rf"^{key}:\s+(\d+) kB", text, re.M)
    )
