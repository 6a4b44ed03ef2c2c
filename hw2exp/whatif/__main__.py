"""The command ``python -m hw2exp.whatif``: what would have prevented a spike, on one page."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import at_home
from hw2exp.config.run_files import WHATIF
from hw2exp.runs.spike_request import read_request
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, relative

MOST = 100_000
"""Most steps that branches are followed after the spike."""

WORDS = """
interventions, words in one argument, with spaces between:
  KEY=VALUE    an override of the run's config, as clip=norm or clip.max_norm=3
  KEY*FACTOR   a number of the config, as lr*0.5, or a part of the state, as params,
               optimizer.mean_square or readout, times a factor
  KEY~SIZE     a part of the state, each entry times 1 + SIZE ε
  skip=N       the next N batches are left out
  around=N     the overrides hold from N steps before the spike's start to N after
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if the page can't be written, 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        if not 0 <= arguments.follow <= MOST:
            raise ConfigError([f"--follow={arguments.follow}: must be from 0 to {MOST}"])
        out = None if arguments.out is None else Path(arguments.out)
        request = read_request(Path(arguments.folder), arguments.spike, out, pages=WHATIF)
        if request.number is None:
            raise ConfigError([f"--spike={arguments.spike}: must be the number of a spike"])

        from hw2exp.whatif.whatif import make_page  # slow: only after the request is accepted

        page = make_page(request, arguments.do, arguments.follow, echo)
        echo(f"  look at   {relative(page)}")
        return 0
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.whatif",
        "What would have prevented a spike: the run is taken back to 50 … 1 steps before it, and\n"
        "trained on from there with one thing changed, once for each intervention.",
        WORDS,
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("folder", type=at_home, metavar="RUN", help="the run's folder")
    parser.add_argument("--spike", metavar="N", default="1", help="which one; by default 1")
    parser.add_argument(
        "--do", metavar="WORDS", action="append", default=[],
        help="an intervention; can be repeated; by default all that the bench knows",
    )  # fmt: skip
    parser.add_argument(
        "--follow", metavar="STEPS", type=int, default=200,
        help="how far to follow after the spike; by default 200 steps",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=at_home, metavar="DIR", help=f"where to write; by default RUN/{WHATIF}"
    )
    return parser


if __name__ == "__main__":
    process(main)
