"""Print to the terminal: the start and end of a run, warnings and errors."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hw2exp.config.choices import ADDED_CHOICES
from hw2exp.config.problems import counted, visible

if TYPE_CHECKING:
    from rich.console import Console

    from hw2exp.config.schema import TrainConfig
    from hw2exp.records.run_dir import RunResult

PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)
"""A path without special characters of a shell or of Hydra."""

SPECIAL = re.compile(r"[.*+?^${}()|\[\]\\]")
"""Special characters of a regular expression."""

MOST_FOLDERS = 1000
"""Folders, at most, that TensorBoard searches for runs within seconds."""

FILES = ("curve.png", "result.json", "metrics.parquet", "diagnostics.parquet")


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, with hours if there are any.

    Args:
        seconds: the duration in seconds.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say(text: str, styled: bool = False) -> None:
    """Print a text; a closed or broken standard output must not end the run.

    Args:
        text: one or more lines.
        styled: whether the text holds terminal codes; if so, no unescaped text from files.
    """
    text = text if styled else visible(text, kept="\n")
    try:
        print(text, flush=True)
    except UnicodeEncodeError as error:
        print(text.encode(error.encoding, "replace").decode(error.encoding), flush=True)
    except (OSError, ValueError) as error:  # ValueError: a caller has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            warn(f"standard output: {error.strerror}")


def on_terminal() -> bool:
    """Return whether standard output is a terminal with a movable cursor, color or not."""
    try:
        shown = sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return False
    return shown and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def live_console() -> "Console":
    """Return a console for live displays; without cursor movement it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, force_terminal=None if on_terminal() else False)


def complain(line: str) -> None:
    """Print an error line to standard error.

    Args:
        line: one line.
    """
    with suppress(OSError, ValueError):  # standard error is closed or broken
        print(f"hw2exp: {visible(line)}", file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning to standard error.

    Args:
        text: one line.
    """
    complain(f"warning: {text}")


def print_start(
    config: "TrainConfig", folder: Path, loss: float, accuracy: float, done: int = 0
) -> None:
    """Print a run's config, folder, and initial loss and accuracy.

    Args:
        config: the run's config.
        folder: the run folder.
        loss: mean loss of a large fresh batch before the first step.
        accuracy: accuracy on the same batch.
        done: steps already made, if the run is resumed.
    """
    begins = f"resumes after step {done}, started" if done else "starts"
    say(
        f"{config.describe()} → {relative(folder)}\n"
        f"{begins} at loss {loss:.4f} (ln 4 = 1.3863), accuracy {accuracy:.3f}"
    )


def print_summary(result: "RunResult", folder: Path, root: Path) -> None:
    """Print in a few lines how a run ended, and its files.

    Args:
        result: the run's result.
        folder: the run folder.
        root: the folder to resume: the sweep's, or the single run's.
    """
    initial, final, spikes = result.initial, result.final, result.spikes
    where = f" at step {result.diverged_at}" if result.diverged_at else ""
    above = sum(spike["above_initial"] for spike in spikes)
    steps = counted(result.step, "step")
    more = ""
    if spikes:
        largest = max(spike["loss"] for spike in spikes)
        more = f", of which {above} above the initial loss, the largest {largest:.4g}"
    written = [name for name in FILES if (folder / name).exists()]
    lines = [
        f"{result.status}{where} after {steps} in {clock(result.seconds)}",
        f"  started   loss {initial['loss']:.4f} (ln 4 = 1.3863)  "
        f"accuracy {initial['accuracy']:.3f}",
        f"  ended     train loss {number(final['train_loss'])}  test loss "
        f"{number(final['test_loss'])}  test accuracy {number(final['test_accuracy'])}",
        f"  spikes    {len(spikes)}{more}",
        f"  look at   {relative(folder)}/ with {', '.join(written)}",
        f"  or run    {tensorboard_of_run(folder)}",
    ]
    ask = spikes or result.diverged_at
    if ask and result.status != "interrupted" and not ADDED_CHOICES:  # not for a user's cell
        which = "divergence"
        if not result.diverged_at:
            highest = max(range(len(spikes)), key=lambda place: float(spikes[place]["loss"])) + 1
            which = f"{highest}  # its highest"
        lines.append(f"  ask why   python -m hw2exp.anatomy {typed(folder)} --spike {which}")
    if result.status == "interrupted":
        lines.append(f"  resume    the same command with {resume_word(root)}")
    say("\n".join(lines))


def number(value: float | None) -> str:
    """Format a number that may be missing.

    Args:
        value: the number, or None.
    """
    return "–" if value is None else f"{value:.4g}"


def spread(
    values: Sequence[float],
    quartiles: bool = True,
    write: Callable[[float], str] = "{:.3g}".format,
) -> str:
    """Format the median, with the quartiles if they differ.

    Args:
        values: numbers, which may be infinite.
        quartiles: whether to show the quartiles.
        write: formatter of one number.
    """
    if not values:
        return "–"
    from hw2exp import statistics

    low, middle, high = map(float, statistics.quartiles(values))
    text = write(middle)
    return f"{text} [{write(low)}, {write(high)}]" if quartiles and low < high else text


def relative(path: Path) -> Path:
    """Return a path relative to the current folder, if it lies below.

    Args:
        path: any path.
    """
    here = Path.cwd()  # with hydra.job.chdir it may be the run folder
    return path.relative_to(here) if here in path.parents else path


def typed(folder: Path) -> str:
    """Quote a folder for a shell.

    Args:
        folder: any path.
    """
    return shlex.quote(str(relative(folder)))


def tensorboard_of_run(folder: Path) -> str:
    """Return the command that shows a run in TensorBoard under its name, and the address.

    TensorBoard names a run by its path below the served folder. The served folder itself is named
    ``.``, and has no metrics in HParams. So serve the parent folder and filter out its other runs,
    unless it holds so many folders that TensorBoard would be slow.

    Args:
        folder: the run folder.
    """
    absolute = Path(os.path.abspath(folder))
    above = absolute.parent
    if len(list(islice(os.walk(above), MOST_FOLDERS + 1))) > MOST_FOLDERS:
        return f"tensorboard --logdir {typed(folder)}"
    served = "." if above == Path.cwd() else typed(above)
    name = SPECIAL.sub(r"\\\g<0>", absolute.name)
    shown = quote(f"^{name}$", safe="")
    return (
        f"tensorboard --logdir {served}\n"
        f"            and open http://localhost:6006/?runFilter={shown}"
    )


def resume_word(folder: Path) -> str:
    """Return the override that resumes a run or a sweep, quoted for a shell.

    Args:
        folder: the run's or the sweep's folder.
    """
    path = str(relative(folder))
    if PLAIN_PATH.fullmatch(path):
        return f"resume={path}"
    from hw2exp.config.overrides import assignment

    word = assignment("resume", path)
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'
