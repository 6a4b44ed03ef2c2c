"""The command ``python -m hw2exp.report``: one page about all runs below a folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.problems import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 done, 2 bad input.
    """
    parser = argparse.ArgumentParser(
        "python -m hw2exp.report",
        description="Tables, figures and a self-contained report.html over every run below DIR.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", help="of a run, of a sweep, or of many")
    parser.add_argument("--out", metavar="DIR", help="where to write; by default DIR/report")
    arguments = parser.parse_args(argv)

    from hw2exp.report.report import make_report
    from hw2exp.terminal import relative, say

    try:
        if not arguments.folder or arguments.out == "":
            raise ConfigError(["'': must be a folder"])
        folder = Path(arguments.folder)
        target = Path(arguments.out) if arguments.out else folder / "report"
        page = make_report(folder, target, say)
    except ConfigError as error:
        print("hw2exp: " + " | ".join(error.problems), file=sys.stderr)
        return 2
    say(f"  look at   {relative(page)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
