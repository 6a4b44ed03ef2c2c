"""Compare our training step with JAX's, on one core."""

from bench_parts.measure import Contender, alone, contest, one_core, ratios, row, spread, table
from bench_parts.programs import deviation, jax_steps, our_steps

TOLERANCE = 1e-4


def main(quick: bool) -> None:
    sizes = (1, 16) if quick else (1, 8, 16, 32, 64)
    rounds = 3 if quick else 15
    print("Replica-steps/s of CPU time on one core, taking turns; JAX's batches lie ready.\n")
    table("model, replicas R", "hw2exp", "JAX", "scan's unroll", "hw2exp/JAX, median (quartiles)")
    with one_core():
        found = [compare(model, sizes, rounds) for model in ("gated_rnn", "attn_rnn")]
    print("\nOn one batch JAX's loss and gradient agree with ours to " + ", ".join(found) + ".")


def compare(model: str, sizes: tuple[int, ...], rounds: int) -> str:
    """Check that both compute the same, then race them at every R, and at the best R of each."""
    loss, gradient = alone(deviation, model)
    if max(loss, gradient) > TOLERANCE:
        raise SystemExit(f"{model}: JAX deviates by {loss:.1e} in the loss, {gradient:.1e}")
    mine = {size: Contender(our_steps, model, size) for size in sizes}
    peers = {size: Contender(jax_steps, model, size) for size in sizes}
    contest([*mine.values(), *peers.values()], rounds)
    for size in sizes:
        line(f"{model}, R = {size}", mine[size], peers[size])
    best, other = (max(sizes, key=lambda size: median(side[size])) for side in (mine, peers))
    line(f"{model}, the best R of each: {best}, {other}", mine[best], peers[other])
    return f"{loss:.0e} and {gradient:.0e} ({model})"


def median(contender: Contender) -> float:
    return sorted(contender.speeds)[len(contender.speeds) // 2]


def line(title: str, mine: Contender, peer: Contender) -> None:
    ratio = spread(ratios(mine.speeds, peer.speeds))
    row(title, f"{median(mine):.0f}", f"{median(peer):.0f}", peer.remark, ratio)
