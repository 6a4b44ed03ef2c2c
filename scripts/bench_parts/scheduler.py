"""Measure the fleets a second that one Dask scheduler hands out, to workers that do nothing.

The tasks carry the configs and folders of a real fleet, and its results back. Scheduler, leader and
all the workers together have a process each, so the CPU time of each is known.
"""

import asyncio
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from distributed import Client, Scheduler, Worker
from distributed.security import Security

from bench_parts.measure import alone, row, table

RUNS = 32
"""Runs in a fleet."""

HOST = "127.0.0.1"

Fleet = tuple[list[dict[str, Any]], list[Path]]
"""What a task carries: the values of each run's config, and its folder."""


def main(quick: bool) -> None:
    seconds, fleet, outcomes = alone(train, 20 if quick else 3000)
    there, back = (len(pickle.dumps(each)) / 1024 for each in (fleet, outcomes))
    print(
        f"A task: {there:.0f} KiB there, {back:.0f} KiB back, of {RUNS} runs. A fleet of them "
        f"(AttentionRNN(2), NORMAL, 3,000 steps) takes {seconds:.1f} s of a core.\n"
    )
    os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"  # for the processes to come
    head = "fleets/s", "ms of CPU a fleet: scheduler", "leader", "workers", "cores kept busy"
    table("workers", "TLS", *head)
    for count, tls in [(4, True)] if quick else [(64, False), (64, True), (256, True)]:
        rate, *costs = measure(count, tls, 30 if quick else 3000, fleet, outcomes)
        fed = seconds / max(costs[:2])
        row(count, "yes" if tls else "no", f"{rate:.0f}", *(f"{1e3 * c:.2f}" for c in costs),
            f"{fed:,.0f}")  # fmt: skip
    print("\nCores kept busy: by one scheduler and one leader, with a core each.")


def train(steps: int) -> tuple[float, Fleet, list[Any]]:
    """Train a fleet; return its CPU seconds, what its task carries, and the results."""
    from hw2exp.config.command_line import read
    from hw2exp.runs.fleet_run import run_fleet

    with tempfile.TemporaryDirectory() as name:
        words = ["-m", f"seed=range(0,{RUNS})", "plot=false", f"steps={steps}"]
        configs = [job.config for job in read(words).jobs]
        short = [config.model_copy(update={"steps": 2}) for config in configs]
        run_fleet(short, [Path(name, f"warm-{n}") for n in range(RUNS)], show=False)
        folders = [Path(name, str(n)) for n in range(RUNS)]
        began = time.process_time()
        outcomes = run_fleet(configs, folders, show=False)
        seconds = time.process_time() - began
    return seconds, ([config.model_dump() for config in configs], folders), outcomes


def measure(
    count: int, tls: bool, tasks: int, fleet: Fleet, outcomes: Sequence[Any]
) -> tuple[float, float, float, float]:
    """Hand out fleets to workers that return ready results.

    Args:
        count: the number of workers.
        tls: whether connections are encrypted, as on a cluster of several machines.
        tasks: the number of fleets.
        fleet: what each task carries.
        outcomes: what each task returns.

    Returns:
        Fleets a second; seconds of CPU a fleet in the scheduler, the leader and the workers.
    """
    security = Security.temporary() if tls else None
    processes = get_context("spawn")
    mine, theirs = processes.Pipe()
    scheduler = processes.Process(target=schedule, args=(theirs, security))
    scheduler.start()
    address = mine.recv()
    workers = processes.Process(target=work, args=(address, security, count, outcomes))
    workers.start()
    with Client(address, security=security) as client:
        client.wait_for_workers(count)
        hand_out(client, count, count, fleet)
        before = cpu(client)
        began = time.perf_counter()
        hand_out(client, tasks, count, fleet)
        seconds = time.perf_counter() - began
        costs = [(now - then) / tasks for now, then in zip(cpu(client), before, strict=True)]
        client.shutdown()
    for process in (workers, scheduler):
        process.join()
    return tasks / seconds, *costs


def cpu(client: Client) -> tuple[float, float, float]:
    """Return the CPU seconds so far of scheduler, leader and workers."""
    scheduler = client.run_on_scheduler(time.process_time)
    workers = statistics.mean(client.run(time.process_time).values())
    return scheduler, time.process_time(), workers


def hand_out(client: Client, tasks: int, slots: int, fleet: Fleet) -> None:
    """Submit fleets, as many at once as there are workers, like a sweep."""
    executor = client.get_executor(pure=False)
    running: set[Future[Any]] = set()
    for _ in range(tasks):
        if len(running) == slots:
            running = wait(running, return_when=FIRST_COMPLETED).not_done
        running.add(executor.submit(hand_back, *fleet))
    wait(running)
    for future in running:
        assert len(future.result()) == RUNS


def schedule(connection: Connection, security: Security | None) -> None:
    """Run a scheduler; send its address."""

    async def serve() -> None:
        protocol = "tcp" if security is None else "tls"
        async with Scheduler(
            protocol=protocol, host=HOST, port=0, dashboard_address=f"{HOST}:0", security=security
        ) as scheduler:
            connection.send(scheduler.address)
            await scheduler.finished()

    asyncio.run(serve())


def work(address: str, security: Security | None, count: int, outcomes: Sequence[Any]) -> None:
    """Run many workers of one thread each, in this process."""
    global _outcomes
    _outcomes = outcomes

    async def serve() -> None:
        workers = [
            Worker(address, nthreads=1, host=HOST, dashboard_address=f"{HOST}:0", security=security)
            for _ in range(count)
        ]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(serve())


_outcomes: Sequence[Any]


def hand_back(values: Sequence[Any], folders: Sequence[Path]) -> Sequence[Any]:
    """Do nothing with a fleet, and return the results of another."""
    return _outcomes
