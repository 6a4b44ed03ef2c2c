"""Sweeps that go on where they were cut short."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import hw2exp

TUNING_SEED = 1_000
"""Tuning has seeds of its own: a rate chosen on the runs that are then counted would flatter."""


def sweep(folder: Path, *overrides: str) -> None:
    """Run a sweep into a folder, or what is missing of it.

    Args:
        folder: the sweep's.
        overrides: as for ``python -m hw2exp.train -m``.
    """
    begun = next(folder.glob("*/.hydra/config.yaml"), None) is not None
    where = f"{'resume' if begun else 'hydra.sweep.dir'}={folder}"
    print(f"\n$ python -m hw2exp.train -m {shlex.join([*overrides, where])}", flush=True)
    done = hw2exp.sweep(*overrides, where)
    if done.failed:
        number, error = next(iter(done.failed.items()))
        raise RuntimeError(f"{len(done.failed)} jobs have failed; job {number}: {error}")


def values(key: str, each: Sequence[object]) -> str:
    """Write a sweep over values.

    Args:
        key: of the config.
        each: its values.
    """
    return f"{key}={','.join(f'{v:g}' if isinstance(v, float) else str(v) for v in each)}"


def seeds(count: int, first: int = 0) -> str:
    """Write a sweep over seeds.

    Args:
        count: how many.
        first: the first one.
    """
    return f"seed=range({first},{first + count})"
