"""Run the command ``python -m hw2exp.report``: write one page about all runs below a folder."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import typed_path
from hw2exp.system.problems import ConfigError, printable
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, relative, warn


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success; 1 if the report can't be written, or leaves out unusable
        runs; 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        return _run(
            arguments.folder,
            arguments.out,
            arguments.claims,
            arguments.slides,
            getattr(arguments, "import") or (),
        )
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.report",
        "Tables, figures and a self-contained report.html over every run below DIR.",
    )
    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="of a run, of a sweep, or of many"
    )
    parser.add_argument(
        "--out",
        type=typed_path,
        metavar="DIR",
        help="where to write; by default DIR/report",
    )
    parser.add_argument(
        "--claims",
        type=typed_path,
        metavar="FILE",
        help="claims of your own to decide; by default DIR/claims.yaml, if it is there",
    )
    parser.add_argument(
        "--slides",
        action="store_true",
        help="large type, and a screen for each section; arrow keys turn",
    )
    return parser


def _run(
    word: str, out: str | None, claims: str | None, slides: bool, imports: Sequence[str]
) -> int:
    from hw2exp.report.build import make_report

    folder = Path(word)
    target = folder / "report" if out is None else Path(out)
    if out is None and os.path.islink(target):  # untrusted: may lead anywhere
        raise ConfigError([f"{target}: is a link; must be a folder, or named by --out"])
    lost: list[str] = []
    own = Path(claims) if claims else None
    page = make_report(folder, target, echo, lost.append, own, slides, imports)
    echo(f"  look at   {relative(page)}" + "  (→ and ← turn the slides)" * slides)
    for line in lost:
        warn(printable(line))
    return 1 if lost else 0


if __name__ == "__main__":
    process(main)
