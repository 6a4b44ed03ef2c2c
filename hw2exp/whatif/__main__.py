"""Run the command ``python -m hw2exp.whatif``: find what would have prevented a spike, or many."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import typed_path
from hw2exp.config.run_files import RESULT, WHATIF
from hw2exp.runs.spike_request import read_request
from hw2exp.system.problems import ConfigError, printable
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, relative, warn

MOST = 100_000
"""The largest number of steps or spikes that a flag accepts."""

ALL = "all"
"""The word for all spikes, in place of a spike's number."""

OF_ONE, OF_MANY = ("out",), ("most", "start", "stay")
"""Flags for one spike alone, and for all spikes alone."""

WORDS = """
interventions, words in one argument, with spaces between:
  KEY=VALUE    an override of the run's config, as clip=norm or clip.max_norm=3
  KEY*FACTOR   a number of the config, as lr*0.5, or a part of the state, as params,
               optimizer.mean_square or readout, times a factor
  KEY~SIZE     a part of the state, each entry times 1 + SIZE ε
  skip=N       the next N batches are left out
  data=N       the batches are those of another seed, the N-th
  update=LIMIT updates are clipped to this root mean square, as StableAdamW's to 1
  around=N     the overrides hold from N steps before the spike's start to N after
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if a file can't be written or runs are unusable, 2 for
        bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        folder, spike = Path(arguments.folder), arguments.spike
        many = spike == ALL or (spike is None and folder.is_dir() and not _is_run(folder))
        for name in OF_ONE if many else OF_MANY:
            if getattr(arguments, name) is not None:
                which = "all spikes" if many else "one spike"
                raise ConfigError([f"--{name}: must be left out with {which}"])
        if many:
            return _all_spikes(folder, arguments)
        return _one_spike(folder, arguments)
    except (ConfigError, OSError) as error:
        return failed(error)


def _is_run(folder: Path) -> bool:
    return (folder / RESULT).exists()


def _one_spike(folder: Path, arguments: Namespace) -> int:
    """Write the page of one spike."""
    leads = _numbers("leads", arguments.leads or "50,20,10,5,2,1")
    following = _steps("follow", 200 if arguments.follow is None else arguments.follow)
    number = arguments.spike or "1"
    out = None if arguments.out is None else Path(arguments.out)
    request = read_request(folder, number, out, pages=WHATIF)
    if request.number is None:
        before = "; for a divergence, name the spike before it" * (number == "divergence")
        raise ConfigError([f"--spike={number}: must be the number of a spike, or {ALL}{before}"])

    from hw2exp.whatif.whatif import make_page  # slow: only after the request is accepted

    page = make_page(request, arguments.do, leads, following, echo)
    echo(f"  look at   {relative(page)}")
    return 0


def _all_spikes(folder: Path, arguments: Namespace) -> int:
    """Write a table for each run below a folder."""
    leads = _numbers("leads", arguments.leads or "20,10,2")
    following = _steps("follow", 50 if arguments.follow is None else arguments.follow)
    most = _steps("most", MOST if arguments.most is None else arguments.most)
    starts = _numbers("start", arguments.start or "1,501,1001")
    staying = _steps("stay", 1_000 if arguments.stay is None else arguments.stay, least=1)

    from hw2exp.whatif.survey import survey_folder
    from hw2exp.whatif.survey_run import Survey

    survey = Survey(tuple(arguments.do), leads, following, most, starts, staying)
    lost = survey_folder(folder, survey, echo)
    echo(f"  look at   python -m hw2exp.report {relative(folder)}")
    for line in lost:
        warn(printable(line))
    return 1 if lost else 0


def _numbers(flag: str, words: str) -> tuple[int, ...]:
    """Read whole numbers from 1 on, separated by commas; return each once, in rising order.

    Leads are returned in falling order.

    Raises:
        ConfigError: a word is no such number.
    """
    for word in words.split(","):
        if not (word.isascii() and word.isdigit() and len(word) < 7 and 1 <= int(word) <= MOST):
            problem = f"must be whole numbers from 1 to {MOST}, with commas between"
            raise ConfigError([f"--{flag}={words}: {problem}"])
    return tuple(sorted({int(word) for word in words.split(",")}, reverse=flag == "leads"))


def _steps(flag: str, steps: int, least: int = 0) -> int:
    if not least <= steps <= MOST:
        raise ConfigError([f"--{flag}={steps}: must be from {least} to {MOST}"])
    return steps


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.whatif",
        "What would have prevented a spike: a run is taken back to some steps before it, and\n"
        "trained on from there with one thing changed, once for each intervention. Of one run, a\n"
        "page is written; of the runs below a folder, a table each, for the report.",
        WORDS,
    )
    parser.formatter_class = RawDescriptionHelpFormatter

    def add(flag: str, word: str, help: str, **more: object) -> None:
        parser.add_argument(f"--{flag}", metavar=word, help=help, **more)  # type: ignore[arg-type]

    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="of a run, of a sweep, or of many"
    )
    add("spike", "N", f"a spike of one run, by default 1; or {ALL}: all spikes, for the report")
    add(
        "do", "WORDS", "an intervention; can be repeated; by default all that the bench knows",
        action="append", default=[],
    )  # fmt: skip
    add("leads", "STEPS", "how far before the spike; by default 50,20,10,5,2,1; 20,10,2 for all")
    add("follow", "STEPS", "how far to follow after it; by default 200; 50 for all", type=int)
    add("out", "DIR", f"where to write a page; by default RUN/{WHATIF}", type=typed_path)
    add("most", "N", "all: at most so many spikes of a run, chosen at random", type=int)
    add("start", "STEPS", "all: steps from which cures stay on; by default 1,501,1001")
    add("stay", "STEPS", "all: how long they stay on; by default 1000 steps", type=int)
    return parser


if __name__ == "__main__":
    process(main)
