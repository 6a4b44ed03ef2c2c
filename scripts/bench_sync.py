"""Time a run, and a sweep of many short runs, with and without syncs to the disk.

The same program also runs with ``os.fsync`` doing nothing and, with ``--against``, at another
revision, which shows the cost added since then. The runs' folders are below TMPDIR; its disk and
file system are printed.
"""

import argparse
import io
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from bench_parts.measure import ratios, row, run, spread, table
from bench_parts.sweep import OURS, whole

ROOT = Path(__file__).parents[1]
NO_SYNC = "import os\nos.fsync = lambda file: None\n"
MULTIRUN = OURS.index("-m", OURS.index("hw2exp.train"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="REVISION", help="of git; needs a checkout")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--jobs", type=int, default=1000, help="of the sweep (default: 1000)")
    parser.add_argument("--steps", type=int, default=4000, help="of the run (default: 4000)")
    arguments = parser.parse_args()
    print(f"{disk()}; a sync of a new file takes {sync():.2f} ms. Median and quartiles.\n")
    with tempfile.TemporaryDirectory() as name:
        silent = Path(name, "silent")
        silent.mkdir()
        (silent / "sitecustomize.py").write_text(NO_SYNC)
        programs = {"as it is": [], "without syncs": [ROOT, silent]}
        if arguments.against:
            programs[arguments.against] = [extract(arguments.against, Path(name, "before"))]
        prefixes = {title: environment(*paths) for title, paths in programs.items()}
        sizes = {
            f"a run of {arguments.steps} steps": (1, arguments.steps),
            f"{arguments.jobs} runs of 10 steps": (arguments.jobs, 10),
        }
        for title in prefixes.keys() - {"without syncs"}:  # the same kernels
            seconds(prefixes[title], 2, 10)  # compiles them before timing
        table("", "", "seconds", "as it is, times this")
        for size, (jobs, steps) in sizes.items():
            measured: dict[str, list[float]] = {title: [] for title in prefixes}
            for _ in range(arguments.rounds):
                for title, prefix in prefixes.items():
                    measured[title].append(seconds(prefix, jobs, steps))
            for title, own in measured.items():
                row(size, title, spread(own), spread(ratios(measured["as it is"], own)))


def seconds(prefix: list[str], jobs: int, steps: int) -> float:
    """Measure the seconds of a run, or of a sweep if there is more than one job."""
    if jobs > 1:
        return whole([*prefix, *OURS, "plot=false"], jobs, steps, "result.json")
    alone = [word for place, word in enumerate(OURS) if place != MULTIRUN]
    with tempfile.TemporaryDirectory() as name:
        return run([*prefix, *alone, "plot=false", f"steps={steps}"], Path(name) / "folder")


def environment(*paths: Path) -> list[str]:
    """Return the prefix of a command that makes it import from these folders first."""
    return ["env", f"PYTHONPATH={os.pathsep.join(map(str, paths))}"]


def extract(revision: str, folder: Path) -> Path:
    """Extract the program at a revision into a folder; return the folder."""
    words = ["git", "-C", str(ROOT), "archive", revision, "hw2exp", "hydra_plugins"]
    with tarfile.open(fileobj=io.BytesIO(subprocess.check_output(words))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def disk() -> str:
    """Name the disk and the file system that the runs write to."""
    words = ["df", "--output=source,fstype", tempfile.gettempdir()]
    return " ".join(subprocess.check_output(words, text=True).splitlines()[1].split())


def sync(times: int = 50) -> float:
    """Measure the milliseconds to sync a new file of 4 KiB."""
    taken = []
    for _ in range(times):
        with tempfile.TemporaryFile() as file:
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


if __name__ == "__main__":
    main()
