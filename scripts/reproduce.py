"""Run the study of cures and make its page.

    python scripts/reproduce.py [--full] [--same-rate] [--out DIR] [part ...]

The default is the quick profile. After an interruption, the same command resumes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hw2exp.report.build import make_report
from hw2exp.system.terminal import clock, relative
from study import cures, others, whatif
from study.profiles import FULL, QUICK, Profile

PARTS: dict[str, Callable[[Profile, Path], None]] = {
    "tune": cures.tune,
    "cures": cures.run,
    "whatif": whatif.run,
    "brake": others.brake,
    "notebook": others.notebook,
    "reach": others.reach,
    "pascanu": others.pascanu,
    "hochreiter": others.hochreiter,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--full", action="store_true", help="the full profile: some hours")
    parser.add_argument(
        "--same-rate",
        action="store_true",
        help="try cures only at the learning rate tuned without: under half the time",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="by default outputs/study/PROFILE")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    profile = FULL if arguments.full else QUICK
    if arguments.same_rate:
        profile = replace(profile, own_rates=False)
    folder = arguments.out or Path("outputs", "study", profile.name)
    try:
        reproduce(profile, folder, [part for part in PARTS if part in (arguments.parts or PARTS)])
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def reproduce(profile: Profile, folder: Path, parts: list[str]) -> None:
    """Run parts of the study, and make the page of all existing results.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
        parts: the names of the parts to run.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts, 1):
        took = clock(time.monotonic() - began)
        print(f"\n==== {part}: part {number} of {len(parts)}, after {took}", flush=True)
        PARTS[part](profile, folder)
    print(f"\n==== the page, after {clock(time.monotonic() - began)}", flush=True)
    plan = Path(__file__).with_name("study") / "report.yaml"
    text = plan.read_text(encoding="utf-8").replace("PROFILE", profile.note)
    (folder / plan.name).write_text(text, encoding="utf-8")
    page = make_report(folder, folder / "report", print)
    print(f"{relative(page)}, after {clock(time.monotonic() - began)}")


if __name__ == "__main__":
    sys.exit(main())
