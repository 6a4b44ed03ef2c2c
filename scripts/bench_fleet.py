"""Measure fleets and sweeps against Hydra's launchers, JAX and the arithmetic, in time and memory.

    python scripts/bench_fleet.py [memory] [sweep] [scaling] [floor] [jax] [process] [--quick]

The script needs the packages of the extra ``bench`` (``pip install -e '.[bench]'``) and Linux. It
installs two versions of JAX, each in an environment of its own in ``~/.cache/hw2exp-bench``. It
prints all parts, or the named ones, as Markdown. Contenders on one core take turns, each in a
process of its own; ratios are of the same round. ``--quick`` only shows that everything runs.
"""

import argparse
import os
import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

PARTS = "memory", "sweep", "scaling", "floor", "jax", "process"
"""Memory is first: during its measurement, this process must not share torch's pages."""


def machine() -> str:
    """Describe the processor and the versions of the packages."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(": ")[2] for line in cpuinfo.splitlines() if "model name" in line]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numba", "numpy"))
    cores = len(os.sched_getaffinity(0))
    return f"{models[0]}, {cores} cores; Python {platform.python_version()}, {packages}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="small sizes, meaningless numbers")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(machine())
    for part in PARTS:
        if part in (arguments.parts or PARTS):
            print(f"\n### {part}\n")
            import_module(f"bench_parts.{part}").main(arguments.quick)


if __name__ == "__main__":
    main()
