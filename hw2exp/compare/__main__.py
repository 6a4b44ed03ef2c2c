"""The command ``python -m hw2exp.compare``: compare the configs and the results of runs."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import at_home
from hw2exp.system.problems import ConfigError, printable
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, warn


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 the runs are compared, equal or not; 1 an OSError, or some runs could
        not be read; 2 bad input.
    """
    try:
        return _run(_parser().parse_args(argv).folders)
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.compare",
        "The config keys in which runs differ, and their results side by side; = is said of what "
        "agrees bit for bit. A folder of several runs is one column, with medians and quartiles. "
        "A single folder is divided into its runs, or into arms: runs that differ in the seed "
        "alone.",
    )
    parser.add_argument(
        "folders", type=at_home, metavar="DIR", nargs="+", help="of a run, or of a sweep"
    )
    return parser


def _run(words: Sequence[str]) -> int:
    from rich.console import Console

    from hw2exp.compare.columns import read_columns
    from hw2exp.compare.rows import config_of, differing, results, versions_of
    from hw2exp.compare.sameness import parting, same_runs
    from hw2exp.compare.table import legend, table_of

    if not all(words):
        raise ConfigError(["'': must be a folder"])
    found = read_columns([Path(word) for word in words])
    for line in found.notes:
        warn(printable(line))
    columns = found.columns
    sections = {
        "config": differing(columns, config_of),
        "result": list(results(columns)),
        "versions": differing(columns, versions_of, str),
    }
    console = Console()
    color = console.is_terminal and not console.no_color
    marks = [column.mark for column in columns]
    echo("\n".join(legend(columns)))
    echo(table_of(marks, sections, console.width, color), styled=True)
    alike = [] if sections["config"] else ["no key of the configs differs"]
    if notes := [*alike, *same_runs(columns), *parting(columns)]:
        echo("\n".join(["", *notes]))
    return 1 if found.lost else 0


if __name__ == "__main__":
    process(main)
