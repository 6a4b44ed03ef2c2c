"""Run sweeps that resume after an interruption."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import hw2exp
from hw2exp.config.run_files import PACKED

TUNING_SEED = 1_000
"""The first seed of tuning; a rate chosen on the runs that are then counted would be biased."""


def sweep(folder: Path, *overrides: str) -> None:
    """Run a sweep into a folder, or resume the sweep.

    Args:
        folder: the folder of the sweep.
        overrides: overrides as for ``python -m hw2exp.train -m``.

    Raises:
        RuntimeError: a job failed.
    """
    jobs = folder.glob("*/.hydra/config.yaml")
    begun = (folder / PACKED).is_dir() or next(jobs, None) is not None
    where = f"{'resume' if begun else 'hydra.sweep.dir'}={folder}"
    print(f"\n$ python -m hw2exp.train -m {shlex.join([*overrides, where])}", flush=True)
    done = hw2exp.sweep(*overrides, where)
    if done.failed:
        number, error = next(iter(done.failed.items()))
        raise RuntimeError(f"{len(done.failed)} jobs have failed; job {number}: {error}")


def values(key: str, each: Sequence[object]) -> str:
    """Return the override that sweeps over values.

    Args:
        key: the key of the config.
        each: the values.
    """
    return f"{key}={','.join(f'{v:g}' if isinstance(v, float) else str(v) for v in each)}"


def seeds(count: int, first: int = 0) -> str:
    """Return the override that sweeps over seeds.

    Args:
        count: the number of seeds.
        first: the first seed.
    """
    return f"seed=range({first},{first + count})"
