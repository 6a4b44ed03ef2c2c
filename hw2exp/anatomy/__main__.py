"""Run the command ``python -m hw2exp.anatomy``: explain one spike of a run on one page."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import typed_path
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, relative

WHICH = "which one, from 1; or divergence, where the run diverged; by default 1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if the page can't be written, 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        return _run(Path(arguments.folder), arguments.spike, arguments.out)
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.anatomy",
        "Why a spike happened: the steps that led to it are made again, bit for bit, and drawn.",
        "A run trained with diagnostics=all has kept the steps before its first spikes; for others "
        "the run is made again from its beginning.",
    )
    parser.add_argument("folder", type=typed_path, metavar="RUN", help="the run's folder")
    parser.add_argument("--spike", metavar="N", default="1", help=WHICH)
    parser.add_argument(
        "--out",
        type=typed_path,
        metavar="DIR",
        help="where to write; by default RUN/anatomy",
    )
    return parser


def _run(folder: Path, number: str, out: str | None) -> int:
    from hw2exp.runs.spike_request import read_request

    request = read_request(folder, number, None if out is None else Path(out))

    from hw2exp.anatomy.anatomy import make_page  # slow: only after the request is accepted

    page = make_page(request, echo)
    echo(f"  look at   {relative(page)}")
    return 0


if __name__ == "__main__":
    process(main)
