"""Shared tools of the benchmarks: rounds, medians, tables, and programs in their own processes."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Block = Callable[[], float]
"""Does a fixed piece of work and returns its speed."""


def table(*columns: str) -> None:
    """Print the head of a Markdown table."""
    row(*columns)
    row(*["---"] * len(columns))


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Format median and quartiles, as ``2.10 (2.05–2.20)``."""
    ordered, quarter = sorted(values), len(values) // 4
    low, middle, high = ordered[quarter], statistics.median(ordered), ordered[-1 - quarter]
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Return a/b, round by round."""
    return [own / other for own, other in zip(a, b, strict=True)]


def run(command: Sequence[str], folder: Path) -> float:
    """Run a command in a new folder; return the seconds from start to exit.

    Raises:
        SystemExit: the command failed.
    """
    folder.mkdir()
    began = time.perf_counter()
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        status = subprocess.run(command, cwd=folder, stdout=log, stderr=log).returncode
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {status}\n{tail(folder / 'log.txt')}")
    return seconds


def tail(log: Path) -> str:
    return "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-20:])


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process, and the processes it starts meanwhile, to one core and one thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "JAX_PLATFORMS": "cpu",
    }
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Contender:
    """A program in a process of its own that waits for its turn.

    Args:
        make: a function that builds the program in that process; returns a remark and the block.
        arguments: the arguments of ``make``.
    """

    def __init__(self, make: Callable[..., tuple[str, Block]], *arguments: Any) -> None:
        self._process = ProcessPoolExecutor(1, get_context("spawn"))
        self.remark: str = self._process.submit(_prepare, make, arguments).result()
        self.speeds: list[float] = []

    def turn(self) -> None:
        """Run the block once."""
        self.speeds.append(self._process.submit(_turn).result())

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


class Peer:
    """A contender that is a command: it prints a remark, then a speed for each line it reads.

    Args:
        command: the command.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.remark = self._read()
        self.speeds: list[float] = []

    def turn(self) -> None:
        """Let the command do its work once."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self.speeds.append(float(self._read()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line.strip()
        raise SystemExit(f"{self._process.args}: exit status {self._process.wait()}")


def contest(contenders: Sequence[Contender | Peer], rounds: int) -> None:
    """Give every contender its turn, round by round."""
    for _ in range(rounds):
        for contender in contenders:
            contender.turn()
    for contender in contenders:
        contender.close()


_block: Block


def _prepare(make: Callable[..., tuple[str, Block]], arguments: tuple[Any, ...]) -> str:
    global _block
    remark, _block = make(*arguments)
    return remark


def _turn() -> float:
    return _block()


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()
