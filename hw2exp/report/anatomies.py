"""Pages that ``python -m hw2exp.anatomy`` has left in run folders."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw2exp import regular_file
from hw2exp.records.runs import Arm, Run
from hw2exp.terminal import counted

FOLDER, NAME = "anatomy", re.compile(r"spike_([1-9][0-9]{0,8})\.png", re.ASCII)
MOST_PAGES = 6
LARGEST = 8 << 20  # bytes
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class AnatomyPage:
    """The page of one spike.

    Args:
        arm: of its run.
        run: the run.
        number: of the spike, from 1.
        png: the page.
    """

    arm: Arm
    run: Run
    number: int
    png: bytes


def read_anatomies(arms: Sequence[Arm]) -> tuple[list[AnatomyPage], list[str]]:
    """Read the first pages that there are, in the order of arms, seeds and spikes.

    Others may have put them there: none is a link, larger than is expected, or no PNG.

    Args:
        arms: all.

    Returns:
        The pages, and a line for each reason why others were left out.
    """
    pages: list[AnatomyPage] = []
    left_out: Counter[str] = Counter()
    for arm, run, number in _there(arms):
        if len(pages) == MOST_PAGES:
            left_out[f"only the first {MOST_PAGES} are shown"] += 1
            continue
        try:
            png = _read(run.folder / FOLDER, number)
        except (OSError, ValueError):
            left_out["no PNG, too large, or a link"] += 1
        else:
            pages.append(AnatomyPage(arm, run, number, png))
    lines = [f"{counted(count, 'anatomy page')} left out: {why}" for why, count in left_out.items()]
    return pages, lines


def _there(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Run, int]]:
    for arm in arms:
        for run in arm.runs.values():
            try:
                names = os.listdir(run.folder / FOLDER)
            except OSError:
                continue
            found = [match for name in names if (match := NAME.fullmatch(name))]
            for number in sorted(int(match[1]) for match in found):
                yield arm, run, number


def _read(folder: Path, number: int) -> bytes:
    if folder.is_symlink():  # it came with the run, and may lead anywhere
        raise regular_file.IrregularError(f"{folder.name} is a link")
    png = regular_file.read(folder / f"spike_{number}.png", LARGEST, links=False)
    if not png.startswith(SIGNATURE):
        raise ValueError("no PNG")
    return png
