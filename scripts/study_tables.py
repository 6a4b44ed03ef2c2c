"""Make the tables and sentences of the page on the study, docs/study/index.md, from CSV files.

    python scripts/study_tables.py [DIR] [--write PAGE]

DIR is the report of a reproduction; by default docs/study, which keeps that of the full profile. In
the page each block is between a line ``<!-- study: NAME -->`` and a line ``<!-- end -->``; --write
replaces the blocks of the file.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from study import paragraphs, prevention, sentences, tables

KEPT = Path(__file__).parents[1] / "docs" / "study"
BLOCKS: dict[str, Callable[[Path], str]] = {
    "plain": tables.plain,
    "spikes": tables.spike_differences,
    "solved": tables.solved_differences,
    "findings": sentences.findings,
    "immediate": prevention.immediate,
    "lasting": prevention.lasting,
    "verdicts": prevention.verdicts,
    "warning": prevention.warning,
    "brake": paragraphs.brake,
    "notebook": paragraphs.notebook,
    "pascanu": paragraphs.pascanu,
    "hochreiter": paragraphs.hochreiter,
}
PLACE = re.compile(r"(<!-- study: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=KEPT, metavar="DIR")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the file to write into")
    arguments = parser.parse_args()
    if arguments.write is None:
        print("\n\n".join(block(arguments.folder) for block in BLOCKS.values()))
        return
    text = arguments.write.read_text(encoding="utf-8")
    arguments.write.write_text(filled(text, arguments.folder), encoding="utf-8")


def filled(text: str, folder: Path) -> str:
    """Replace the blocks of a text.

    Args:
        text: the text, with the lines that begin and end each block.
        folder: the folder of the CSV files.
    """
    return PLACE.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](folder)}\n{found[3]}", text)


if __name__ == "__main__":
    main()
