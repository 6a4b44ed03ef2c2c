"""Define the answer sheet: the list of parts, and the printed form of an answer."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hw2exp.system.problems import ConfigError, counted, nearest
from hw2exp.theory.answer import Answer, Verdict

PARTS = {
    "1.1a": "convolution.a",
    "1.1b": "convolution.b",
    "1.1ci": "convolution.c_i",
    "1.1cii": "convolution.c_ii",
    "1.1ciii": "convolution.c_iii",
    "1.1civ": "convolution.c_iv",
    "1.2.1a": "gated_rnn.a",
    "1.2.1b": "gated_rnn.b",
    "1.2.1c": "gated_rnn.c",
    "1.2.1d": "vanishing.d",
    "1.2.2a": "attention_rnn.a",
    "1.2.2b": "attention_rnn.b",
    "1.2.2c": "attention_rnn.c",
    "1.2.2d": "attention_rnn.d",
    "1.2.2e": "attention_rnn.e",
    "1.2.2f": "attention_rnn.f",
    "1.3a": "loss_curve.a",
    "1.3b": "loss_curve.b",
    "1.3c": "loss_curve.c",
    "1.3d": "initial_loss.d",
}
"""The function of ``theory.answers`` for each part; modules are imported on demand."""

READS_RUNS = "1.2.1d"
WIDEST = 110
"""The longest line that is easy to read, in characters."""
COLORS = {
    Verdict.HOLDS: "green",
    Verdict.CORRECTED: "yellow",
    Verdict.PARTLY: "yellow",
    Verdict.FALSE: "red",
    Verdict.OPEN: "blue",
}


def select(words: Sequence[str]) -> list[str]:
    """Return the selected parts, in the sheet's order; all parts if there are no words.

    Args:
        words: parts as typed: ``1.2.2e``, ``1.2.2 (e)``, or the beginning of several, ``1.2``.

    Raises:
        ConfigError: there is no such part.
    """
    chosen: set[str] = set()
    unknown = []
    for word in words:
        plain = "".join(letter for letter in word.lower() if letter not in "() ").rstrip(".")
        begun = {part for part in PARTS if plain and part.startswith(plain)}
        meant = {plain} if plain in PARTS else begun
        chosen |= meant
        if not meant:
            unknown.append(word)
    if unknown:
        listed = ", ".join(word or "''" for word in unknown)
        near = nearest(unknown[0], PARTS)
        raise ConfigError([f"{listed}: no such part; {near}"])
    return [part for part in PARTS if part in chosen or not words]


def answer(part: str, runs: Path | None) -> Answer:
    """Work out a part's answer: compute, check, decide; one part reads the runs of a sweep.

    Args:
        part: a key of ``PARTS``.
        runs: the sweep's folder, if there is one.

    Raises:
        ConfigError: the folder lacks the runs that the part needs.
    """
    module, function = PARTS[part].split(".")
    work_out = getattr(importlib.import_module(f"hw2exp.theory.answers.{module}"), function)
    found: Answer = work_out(runs) if part == READS_RUNS else work_out()
    return found


def text_of(found: Answer, width: int, color: bool) -> str:
    """Format an answer for printing, ``width`` characters wide, in color if wanted."""
    heading = Table.grid(expand=True, padding=(0, 1))
    heading.add_column(ratio=1)
    heading.add_column(justify="right", no_wrap=True)
    heading.add_row(
        Text(f"{found.part}  {found.title}", style="bold"),
        Text(found.verdict, style=f"bold {COLORS[found.verdict]}"),
    )
    body = Table.grid(padding=(0, 2))
    body.add_column(no_wrap=True, style="dim", width=10)
    body.add_column(overflow="fold")
    for label, line in _rows(found):
        body.add_row(f"  {label}", Text(line))
    written = StringIO()
    console = Console(
        file=written, width=min(width, WIDEST), force_terminal=color, highlight=False,
        color_system="standard" if color else None,
    )  # fmt: skip
    console.print(heading, body)
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    # Commands are not wrapped, so that they can be copied.
    lines += [f"  to know more: {command}" for command in found.commands[:1]]
    lines += [f"                {command}" for command in found.commands[1:]]
    return "\n".join([*lines, ""])


def _rows(found: Answer) -> Iterator[tuple[str, str]]:
    yield "write-up", found.claim
    yield "measured" if found.measured else "right", found.formula
    yield "because", found.because
    for place, line in enumerate(found.numbers):
        yield "numbers" * (place == 0), line
    for place, check in enumerate(found.checks):
        mark = "✓" if check.passed else "✗ FAILED"
        bound = "" if check.passed else f", more than {check.tolerance:g}"
        yield "checked" * (place == 0), f"{mark} {check.what} [{check.error:.2g}{bound}]"


def summary(found: Iterable[Answer], seconds: float) -> str:
    """Count the verdicts and checks of all answers; add the seconds that they took."""
    answers = list(found)
    verdicts = [each.verdict for each in answers]
    counts = [f"{kind} {verdicts.count(kind)}" for kind in Verdict if kind in verdicts]
    checks = [check for each in answers for check in each.checks]
    failed = sum(not check.passed for check in checks)
    passed = "all passed" if not failed else f"{failed} FAILED"
    return (
        f"{counted(len(answers), 'part')}: {', '.join(counts)}\n"
        f"{counted(len(checks), 'check')}, {passed}; {seconds:.0f} s\n"
        "A verdict is about the write-up, a check about what stands under right and measured; in "
        "brackets\nthe largest difference found, relative where numbers exceed 1, or a count."
    )
