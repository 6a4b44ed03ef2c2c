"""Read the pages that ``python -m hw2exp.anatomy`` has written into run folders."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw2exp.config.run_files import ANATOMY
from hw2exp.records.arm_names import ALL
from hw2exp.records.arms import Arm, Run
from hw2exp.system import regular_file
from hw2exp.system.problems import counted

NAME = re.compile(r"(?:spike_([1-9][0-9]{0,8})|divergence)\.png", re.ASCII)

MOST_PAGES = 6

LARGEST = 8 << 20  # bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class AnatomyPage:
    """The page of one spike, or of a divergence.

    Args:
        arm: the run's arm.
        run: the run.
        number: the spike's number, from 1; None for the divergence.
        png: the page's bytes.
    """

    arm: Arm
    run: Run
    number: int | None
    png: bytes

    @property
    def title(self) -> str:
        """Return the name of the spike and of its run."""
        which = f"Spike {self.number}" if self.number else "The divergence"
        arm = "the run" if self.arm.name == ALL else self.arm.name
        return f"{which} of {arm}, seed {self.run.config.seed}"

    @property
    def command(self) -> str:
        """Return the command that draws the page."""
        folder = shlex.quote(str(self.run.folder))
        return f"python -m hw2exp.anatomy {folder} --spike {self.number or 'divergence'}"


def read_anatomies(arms: Sequence[Arm]) -> tuple[list[AnatomyPage], list[str]]:
    """Read the first ``MOST_PAGES`` pages, in the order of arms, seeds and spikes.

    The files are untrusted: links, large files and files that are no PNG are left out.

    Returns:
        The pages, and a line for each reason why pages were left out.
    """
    pages: list[AnatomyPage] = []
    left_out: Counter[str] = Counter()
    for arm, run, name, number in _there(arms):
        if len(pages) == MOST_PAGES:
            left_out[f"only the first {MOST_PAGES} are shown"] += 1
            continue
        try:
            png = _read(run.folder / ANATOMY, name)
        except (OSError, ValueError):
            left_out["no PNG, too large, or a link"] += 1
        else:
            pages.append(AnatomyPage(arm, run, number, png))
    lines = [f"{counted(count, 'anatomy page')} left out: {why}" for why, count in left_out.items()]
    return pages, lines


def _there(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Run, str, int | None]]:
    for arm in arms:
        for run in arm.runs.values():
            try:
                names = os.listdir(run.folder / ANATOMY)
            except OSError:
                continue
            found = [match for name in names if (match := NAME.fullmatch(name))]
            for match in sorted(found, key=lambda each: int(each[1] or 10**9)):
                yield arm, run, match[0], int(match[1]) if match[1] else None


def _read(folder: Path, name: str) -> bytes:
    if folder.is_symlink():  # untrusted: may lead anywhere
        raise regular_file.IrregularError(f"{folder.name} is a link")
    png = regular_file.read(folder / name, LARGEST, links=False)
    if not png.startswith(SIGNATURE):
        raise ValueError("no PNG")
    return png
