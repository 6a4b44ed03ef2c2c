"""Measure what bounds a sweep on many cores: the scheduler, the leading process, the files.

    python scripts/bench_scale.py [scheduler] [runs] [--quick]

The part ``scheduler`` needs the extra ``cluster``. Both need Linux. CPU times are those of one
core, so that they mean the same on a busy machine. ``--quick`` only shows that everything runs.
"""

import argparse
from importlib import import_module

from bench_fleet import machine

PARTS = "scheduler", "runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="small sizes, meaningless numbers")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(machine())
    for part in arguments.parts or PARTS:
        print(f"\n### {part}\n")
        import_module(f"bench_parts.{part}").main(arguments.quick)


if __name__ == "__main__":
    main()
