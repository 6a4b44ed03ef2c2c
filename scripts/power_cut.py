"""Simulate a power cut on a real file system after each operation of a run, and resume the run.

The file system is in an image, mounted through a loop device. The image is copied without a sync:
this is the disk's content after a power cut. Each copy is mounted, and the command resumes there.
The result must be the same: digests, metrics, events, kept spikes. Only root may mount.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # for lives and outcomes of tests.survival
os.environ["OMP_NUM_THREADS"] = "1"

from tests.survival.crash_states import LIVES, PROMISES, Life, command, lost_here, promising
from tests.survival.outcome import outcome
from tests.survival.recorder import Recorder

KINDS = {
    "ext4": ("ext4", "32M", "commit=1"),
    "ext4, names before data": ("ext4", "32M", "commit=1,data=writeback,noauto_da_alloc"),
    "xfs": ("xfs", "320M", "defaults"),
    "btrfs": ("btrfs", "128M", "commit=1"),
}
"""Type, size and mount options of each file system: most write names out once a second, and data
much later."""

PAUSE_EVERY, PAUSE = 12, 1.3
"""Operations between two pauses, and seconds of each pause, in which names are written out."""


@dataclass
class Copies:
    """A recorder of image copies, one after each operation or after some.

    Args:
        image: the image.
        folder: the folder of the copies.
        every: operations between two copies.
    """

    image: Path
    folder: Path
    every: int
    count: int = 0
    saved: dict[str, int] = field(default_factory=dict)
    found: list[tuple[Path, dict[str, int], str]] = field(default_factory=list)

    def __call__(self, entry: tuple[int, tuple[Any, ...]]) -> None:
        """Note an operation or a promise to the user after it, then copy the image in turn."""
        _, (name, *arguments) = entry
        if name in PROMISES:
            self.saved = {**self.saved, arguments[0]: arguments[1]}
        if self.count % PAUSE_EVERY == 0:
            time.sleep(PAUSE)
        if self.count % self.every == 0:
            copy = self.folder / f"{self.count}.img"
            subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
            self.found.append((copy, self.saved, f"{name} {arguments[0]}"))
        self.count += 1


def make(kind: str, image: Path) -> None:
    program, size, _ = KINDS[kind]
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run([f"mkfs.{program}", image], check=True, capture_output=True, text=True)


@contextmanager
def mounted(kind: str, image: Path, here: Path) -> Iterator[None]:
    """Mount an image, and make it the working directory.

    Raises:
        CalledProcessError: the image can't be mounted.
    """
    program, _, options = KINDS[kind]
    mount = ["mount", "-t", program, "-o", f"loop,{options}", image, here]
    subprocess.run(mount, check=True, capture_output=True, text=True)
    before = Path.cwd()
    os.chdir(here)
    try:
        yield
    finally:
        os.chdir(before)
        subprocess.run(["umount", here], check=True)


def cuts(kind: str, life: Life, folder: Path, every: int) -> tuple[Mapping[str, Any], Copies]:
    """Run a life on a file system; return its outcome, and the copies."""
    here, copies = folder / "here", Copies(folder / "image", folder, every)
    here.mkdir()
    make(kind, copies.image)
    with mounted(kind, copies.image, here):
        command(life.command)
        whole = outcome(here)
        shutil.rmtree(here / "x")
        if life.before is not None:
            command([*life.command, *life.before])
    with (
        mounted(kind, copies.image, here),
        Recorder(here, copies) as recorder,
        promising(recorder),
    ):
        command(life.command)
        recorder.note("ended", "x", life.steps)
    return whole, copies


def lost(kind: str, life: Life, copy: Path, saved: Mapping[str, int], whole: Any) -> str | None:
    """Resume from a copy; return a description of the loss, or None."""
    try:
        with mounted(kind, copy, copy.parent / "here"):
            return lost_here(life, saved, whole)
    except subprocess.CalledProcessError as error:
        return f"can't be mounted: {str(error.stderr).strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--lives", nargs="+", default=["inspected", "extended"],
                        choices=[name for name in LIVES if "swe" not in name])  # fmt: skip
    parser.add_argument("--every", type=int, default=1, help="cuts between two that are tried")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("power_cut: only root may mount file systems; nothing was tried")
        return 1
    tried = failed = 0
    for kind in arguments.kinds:
        if shutil.which(program := f"mkfs.{KINDS[kind][0]}") is None:
            print(f"{kind}: {program} is not installed; not tried")
            continue
        for name in arguments.lives:
            with tempfile.TemporaryDirectory(prefix="hw2exp-") as folder:
                try:
                    whole, copies = cuts(kind, LIVES[name], Path(folder), arguments.every)
                except subprocess.CalledProcessError as error:
                    why = str(error.stderr).strip()
                    print(f"{kind}: can't be made or mounted here; not tried: {why}")
                    break
                reasons = Counter()
                for copy, saved, cut in copies.found:
                    if reason := lost(kind, LIVES[name], copy, saved, whole):
                        reasons[f"after {cut}: {reason}"] += 1
            print(f"{kind}, {name}: {len(copies.found)} cuts tried, {reasons.total()} lost")
            for reason in reasons:
                print(f"  {reason}")
            tried, failed = tried + len(copies.found), failed + reasons.total()
    print(f"{tried} cuts tried, {failed} lost")
    return int(failed > 0 or tried == 0)


if __name__ == "__main__":
    sys.exit(main())
