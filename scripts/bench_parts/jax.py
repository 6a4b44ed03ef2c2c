"""Compare our training step with that of two versions of JAX, on one core."""

import subprocess
import tempfile
from pathlib import Path

from bench_parts.environments import JAX, jax_command
from bench_parts.measure import (
    Contender,
    Peer,
    alone,
    contest,
    one_core,
    ratios,
    row,
    spread,
    table,
)
from bench_parts.programs import BLOCK, deviation, our_steps, write_data

TOLERANCE = 1e-4


def main(quick: bool) -> None:
    sizes = (1, 16) if quick else (1, 8, 16, 32, 64)
    rounds = 3 if quick else 15
    print("Replica-steps/s of CPU time on one core, taking turns; JAX's batches lie ready.\n")
    columns = (f"JAX {version} (unroll) | hw2exp/JAX {version}" for version in JAX)
    table("model, replicas R", "hw2exp", *" | ".join(columns).split(" | "))
    with one_core(), tempfile.TemporaryDirectory() as folder:
        found = [compare(model, sizes, rounds, Path(folder)) for model in ("gated_rnn", "attn_rnn")]
    print("\nOn one batch JAX's loss and gradient agree with ours to " + ", ".join(found) + ".")


def compare(model: str, sizes: tuple[int, ...], rounds: int, folder: Path) -> str:
    """Check that all compute the same, then race them at every R, and at the best R of each."""
    loss, gradient = checked(model, folder)
    sides: list[dict[int, Contender | Peer]] = [{} for _ in range(1 + len(JAX))]
    for size in sizes:
        data = folder / f"{model}-{size}.npz"
        alone(write_data, model, size, max(2, BLOCK // size), data)
        sides[0][size] = Contender(our_steps, model, size)
        for peers, version in zip(sides[1:], JAX, strict=True):
            peers[size] = Peer(jax_command(version, model, data, "race"))
        contest([side[size] for side in sides], rounds)
        line(f"{model}, R = {size}", [side[size] for side in sides])
    best = [max(sizes, key=lambda size, side=side: median(side[size])) for side in sides]
    title = f"{model}, the best R of each: {', '.join(map(str, best))}"
    line(title, [side[size] for side, size in zip(sides, best, strict=True)])
    return f"{loss:.0e} and {gradient:.0e} ({model})"


def checked(model: str, folder: Path) -> tuple[float, float]:
    """Return the largest deviation of a JAX's loss and gradient from ours on one batch.

    Raises:
        SystemExit: a deviation is too large.
    """
    data, out = folder / f"{model}.npz", folder / "found.npz"
    alone(write_data, model, 4, 1, data)
    found = []
    for version in JAX:
        subprocess.run(jax_command(version, model, data, "check", str(out)), check=True)
        found.append(alone(deviation, model, out))
        if max(found[-1]) > TOLERANCE:
            raise SystemExit(f"{model}: JAX {version} deviates by {found[-1]}")
    loss, gradient = (max(column) for column in zip(*found, strict=True))
    return loss, gradient


def median(contender: Contender | Peer) -> float:
    return sorted(contender.speeds)[len(contender.speeds) // 2]


def line(title: str, contenders: list[Contender | Peer]) -> None:
    mine, *peers = contenders
    cells = [f"{median(mine):.0f}"]
    for peer in peers:
        remark = f" ({peer.remark})" if peer.remark else ""
        cells += [f"{median(peer):.0f}{remark}", spread(ratios(mine.speeds, peer.speeds))]
    row(title, *cells)
