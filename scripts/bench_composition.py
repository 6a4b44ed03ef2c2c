"""Time the preparation of a sweep's jobs, by our launcher and by Hydra's, in one run.

Ours: the check of the command, then the launcher's composition, validation, folders and records.
Hydra's: its sweeper's check, then its basic launcher, with the same validation in the job.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from hw2exp.config.command_line import read
from hw2exp.config.hydra_session import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE
from hw2exp.config.validation import validate


def seconds(arguments, folder, read_first):
    """Measure the time until the last job could start."""

    def job(config):
        validate(OmegaConf.to_container(config, resolve=True))

    def fleet(jobs, held):
        return [None for each in jobs if each.config]

    job.fleet = fleet
    began = time.perf_counter()
    if read_first:
        read(["-m", *arguments])
    sys.argv = ["train", "-m", *arguments, f"hydra.sweep.dir={folder}"]
    hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, **VERSION_BASE)(job)()
    return time.perf_counter() - began


def per_job(few, many, *arguments, read_first, first):
    """Return milliseconds per additional job, and per job including the fixed cost."""
    taken = []
    for count in (few, many):
        seeds = f"seed=range({first},{first + count // 2})"
        rates = f"optimizer.lr={first + 1}e-9,{first + 2}e-9"
        with tempfile.TemporaryDirectory(dir=".") as folder:
            taken.append(seconds([seeds, rates, *arguments], folder, read_first))
        first += count
    return 1e3 * (taken[1] - taken[0]) / (many - few), 1e3 * taken[1] / many


def files(count=1000):
    """Measure the milliseconds for a job's two folders and three files alone."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began = time.perf_counter()
        for number in range(count):
            records = Path(folder, str(number), ".hydra")
            records.mkdir(parents=True)
            for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
                (records / name).write_text("x" * 1000, encoding="utf-8")
        return 1e3 * (time.perf_counter() - began) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="of our way (default: 1000)")
    parser.add_argument("--hydra-jobs", type=int, default=30, help="of Hydra's (default: 30)")
    arguments = parser.parse_args()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    basic = ("hydra/launcher=basic", "hydra/sweeper=basic")
    ours, ours_all = per_job(2, arguments.jobs, read_first=True, first=10_000)
    theirs, _ = per_job(2, arguments.hydra_jobs, *basic, read_first=False, first=20_000)
    print(f"ours: {ours:.2f} ms a job ({ours_all:.2f} with what every command pays)")
    print(f"its folders and files alone: {files():.2f} ms")
    print(f"Hydra's: {theirs:.1f} ms a job")
    print(f"ratio: {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
