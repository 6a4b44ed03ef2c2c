"""Run the command ``python -m hw2exp.compare``: compare the configs and the results of runs."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import typed_path
from hw2exp.system.problems import ConfigError, counted, printable
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, warn

MEASURE = "spikes,solved,ends_solved,diverged"
"""The measures compared by default, those of the report's comparisons."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 if the runs were compared, equal or not; 1 if some files or runs could
        not be read; 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        if arguments.against is None:
            return _side_by_side(arguments)
        return _against(arguments)
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.compare",
        "The config keys in which runs differ, and their results side by side; = is said of what "
        "agrees bit for bit. A folder of several runs is one column, with medians and quartiles. "
        "A single folder is divided into its runs, or into arms: runs that differ in the seed "
        "alone. With --against, the runs before it are compared with those behind it, paired by "
        "seed and by all settings that neither side names.",
    )
    parser.add_argument(
        "folders", type=typed_path, metavar="DIR", nargs="+",
        help="of a run, or of a sweep; with --against also settings that hold, such as clip=norm, "
        "clip=norm,value (either), clip!=none, or optimizer=adam,clip=none",
    )  # fmt: skip
    parser.add_argument(
        "--against", type=typed_path, metavar="WORD", nargs="+",
        help="the other side: settings, and folders, by default the same ones",
    )  # fmt: skip
    parser.add_argument(
        "--measure", metavar="NAMES",
        help=f"what to compare, by default {MEASURE}; an unknown name lists all",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="KEYS",
        help="compare once for each value of these keys, and average over all other settings "
        "within a seed; none: over all of them. By default each pair of arms is compared",
    )  # fmt: skip
    return parser


def _against(arguments: Namespace) -> int:
    from hw2exp.compare.against import compare_sides
    from hw2exp.compare.measures import check_measures, measure_of
    from hw2exp.compare.table import contrast_table
    from hw2exp.diagnostics.paired_tests import too_few

    measures = (MEASURE if arguments.measure is None else arguments.measure).split(",")
    check_measures(measures, "--measure")
    by = None if arguments.by is None else [key for key in arguments.by.split(",") if key != "none"]
    found = compare_sides(arguments.folders, arguments.against, measures, by)
    for line in found.notes:
        warn(printable(line))
    for mark, side in zip("AB", found.sides, strict=True):
        echo(f"{mark}  {printable(str(side))}")
    echo(contrast_table(found.contrasts, found.labels, *_terminal()), styled=True)
    if few := too_few([len(each.paired.seeds) for each in found.contrasts]):
        echo(few)
    echo("")
    for name in measures:
        if (meaning := measure_of(name).words) != name.replace("_", " "):
            echo(f"{name}: {meaning}")
    echo(
        "A - B: mean over seeds, and its 95 % interval; p: by turning signs, corrected for "
        f"{counted(len(found.contrasts), 'comparison')}\n"
        f"A and B differ in {', '.join(found.differ) or 'no setting'}"
    )
    return 1 if found.lost else 0


def _side_by_side(arguments: Namespace) -> int:
    from hw2exp.compare.chosen import is_setting
    from hw2exp.compare.columns import read_columns
    from hw2exp.compare.rows import config_of, differing, results, versions_of
    from hw2exp.compare.sameness import parting, same_runs
    from hw2exp.compare.table import legend, table_of

    for name in ("measure", "by"):
        if getattr(arguments, name) is not None:
            raise ConfigError([f"--{name}={getattr(arguments, name)}: needs --against"])
    for word in arguments.folders:
        if is_setting(word) and not Path(word).exists():
            raise ConfigError([f"{word}: no such folder; settings need --against"])
    found = read_columns([Path(word) for word in arguments.folders])
    for line in found.notes:
        warn(printable(line))
    columns = found.columns
    sections = {
        "config": differing(columns, config_of),
        "result": list(results(columns)),
        "versions": differing(columns, versions_of, str),
    }
    marks = [column.mark for column in columns]
    echo("\n".join(legend(columns)))
    echo(table_of(marks, sections, *_terminal()), styled=True)
    alike = [] if sections["config"] else ["no key of the configs differs"]
    if notes := [*alike, *same_runs(columns), *parting(columns)]:
        echo("\n".join(["", *notes]))
    return 1 if found.lost else 0


def _terminal() -> tuple[int, bool]:
    """Return the width of the terminal, and whether it has colors."""
    from rich.console import Console

    console = Console()
    return console.width, console.is_terminal and not console.no_color


if __name__ == "__main__":
    process(main)
