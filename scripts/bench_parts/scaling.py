"""Measure how time and memory of AttentionRNN(∞)'s training step grow with the length."""

import ctypes
import re
import statistics
import time
from pathlib import Path

from bench_parts.measure import alone, one_core, ratios, row, spread, table
from bench_parts.programs import fleet_of
from hw2exp.fleet.loop import train_step

REPLICAS = 4
BOUND = 9
"""The most that eight times the length may cost, as a factor."""


def main(quick: bool) -> None:
    lengths = (250, 500) if quick else (250, 500, 1000, 2000)
    rounds = 1 if quick else 5
    with one_core():
        found = [[alone(step, length) for length in lengths] for _ in range(rounds)]
    print("AttentionRNN(∞), R = 4: a training step, each length in a fresh process; CPU time.\n")
    table("T", "ms", "MiB", "time / the first's", "memory / the first's")
    times, sizes = ([[pair[i] for pair in turn] for turn in found] for i in (0, 1))
    for n, length in enumerate(lengths):
        (own_time, first_time), (own_size, first_size) = (
            ([turn[n] for turn in values], [turn[0] for turn in values])
            for values in (times, sizes)
        )
        row(
            length,
            f"{1e3 * statistics.median(own_time):.0f}",
            f"{statistics.median(own_size) / 2**20:.1f}",
            spread(ratios(own_time, first_time)),
            spread(ratios(own_size, first_size)),
        )
    print(f"\nExpected at T = 2,000: at most {BOUND} times what T = 250 costs.")


def step(length: int) -> tuple[float, int]:
    """Measure a step: its seconds, and its peak memory in bytes above that after a tiny fleet."""
    tiny = fleet_of(1, "model=attn_rnn_inf", "task=easy")
    for n in range(1, 4):
        train_step(tiny, n)
    ctypes.CDLL(None).malloc_trim(0)  # else freed memory would be reused, uncounted
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts the peak from here on
    before = memory("VmRSS")
    fleet = fleet_of(REPLICAS, "model=attn_rnn_inf", *task(length))
    times = []
    for n in range(1, 6):
        began = time.process_time()
        train_step(fleet, n)
        times.append(time.process_time() - began)
    return statistics.median(times[1:]), memory("VmHWM") - before


def task(length: int) -> tuple[str, ...]:
    """Return overrides for NORMAL's marks in sequences of about this length."""
    return "task=normal", f"task.length=[{length - 10},{length}]"


def memory(key: str) -> int:
    """Return the bytes of a key in this process's status file."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(rf"{key}:\s+(\d+) kB", status)
    return 1024 * int(kilobytes)
