"""Run the command ``python -m hw2exp.plot``: draw one picture of the runs below a folder."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.folder import asked_for, check_path, check_there, typed_path
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError, printable
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, relative, warn

KINDS = ".png", ".svg", ".pdf"

Y = "loss"
"""The measure that is drawn by default."""

MANY = 5_000
"""The number of arms above which a picture takes minutes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success; 1 if the picture can't be written, or leaves out unusable
        runs; 2 for bad input, when nothing is written.
    """
    try:
        return _run(_parser().parse_intermixed_args(argv))
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.plot",
        "Draw one picture of all runs below DIR, for a slide or a paper: curves by training step "
        "(the median over runs, and a band between the quartiles), or with --x a measure against "
        "a number that was swept. Two small panels show spikes per 1,000 steps, or the share of "
        "diverged runs if there are some, and the share of runs that solved the task. Bars are 95 "
        "% intervals over runs; a cross at the upper edge is infinite, as where most runs "
        "diverged. Dashed: a guess's loss, or runs without the number of --x.",
    )
    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="of a run, of a sweep, or of many"
    )
    parser.add_argument(
        "out", type=typed_path, metavar="FILE", nargs="?",
        help="what to write: .png, .svg or .pdf; by default DIR/plot_BY_X.png",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="KEYS",
        help="draw a line for each value of these keys, such as clip or clip,schedule; by default "
        "of all keys that differ. Runs that differ in other keys are pooled, and the picture says "
        "so",
    )  # fmt: skip
    parser.add_argument("--x", metavar="KEY", help="draw against this number, such as optimizer.lr")
    parser.add_argument(
        "--y", metavar="NAME", default=Y,
        help=f"what to draw, by default {Y}; also accuracy, grad_norm, spikes, solved, diverged, "
        "steps_to_solve and more: an unknown name lists all",
    )  # fmt: skip
    parser.add_argument(
        "--size", choices=("slide", "paper"), default="slide",
        help="slide: 16:9 with large type, by default; paper: a column, 3.3 inches wide",
    )  # fmt: skip
    return parser


def _run(arguments: Namespace) -> int:
    from hw2exp.records.figure_style import encoded, figure_style
    from hw2exp.records.runs import read_runs
    from hw2exp.report.picture import SIZES, picture
    from hw2exp.report.question import ask

    by = None if arguments.by is None else arguments.by.split(",")
    target = _target(arguments, by or [])
    found = read_runs(Path(arguments.folder), shown=True)
    if (arms := found.size[1]) > MANY:
        warn(f"{arms:,} arms take minutes; python -m hw2exp.report draws them as a map at once")
    question = ask(found.arms, by, arguments.x, arguments.y)
    size = SIZES[arguments.size]
    with figure_style(size.style):
        content = encoded(picture(question, size), target.suffix[1:], dpi=size.dpi)
    with asked_for(str(target)):
        disk.write(target, content)
    if question.pooled:
        warn(f"pooled over {', '.join(question.pooled)}; --by tells them apart")
    for line in found.left_out:
        warn(printable(line))
    echo(str(relative(target)))
    return 1 if found.lost else 0


def _target(arguments: Namespace, by: Sequence[str]) -> Path:
    """Return the file to write.

    Raises:
        ConfigError: the arguments name no folder, or no file that can be written.
    """
    words = ["plot", *by, arguments.x or "", arguments.y if arguments.y != Y else ""]
    named = f"{'_'.join(filter(None, words))}.png"
    target = Path(arguments.folder, named) if arguments.out is None else Path(arguments.out)
    if target.suffix not in KINDS:
        raise ConfigError([f"{arguments.out}: must end in {', '.join(KINDS)}"])
    check_path(target, str(target))
    if arguments.out is not None:
        check_there(target.parent, str(target))
    return target


if __name__ == "__main__":
    process(main)
