"""Write a comparison as text, with as many columns side by side as fit the width."""

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hw2exp.compare.columns import Column
from hw2exp.compare.contrasts import Contrast, on_divergence
from hw2exp.compare.rows import Row
from hw2exp.system.problems import counted, printable

WIDEST = 30
"""Most characters of a cell's line; longer cells take several lines."""

GAP, SAME = 2, "="


def legend(columns: Sequence[Column]) -> list[str]:
    """Return a line for each column: its mark, its name, and its number of runs."""
    return [
        f"{column.mark}  {printable(column.name)}"
        + ("" if column.alone else f" ({counted(len(column.members), 'run')})")
        for column in columns
    ]


def table_of(
    marks: Sequence[str], sections: Mapping[str, Sequence[Row]], width: int, color: bool
) -> str:
    """Write the rows as a table; columns that don't fit follow in further blocks.

    Args:
        marks: the headings of the columns.
        sections: the rows of each section, by its heading; empty sections are left out.
        width: the number of characters of a line.
        color: whether to write escape codes, for bold headings.
    """
    shown = {heading: [_printable(row) for row in rows] for heading, rows in sections.items()}
    rows = [row for each in shown.values() for row in each]
    labels = max(cell_len(row.label) for row in rows) + GAP + len(SAME)
    widths = [
        min(WIDEST, max(cell_len(text) for text in (mark, *(row.cells[place] for row in rows))))
        for place, mark in enumerate(marks)
    ]
    written = StringIO()
    console = Console(
        file=written, width=width, force_terminal=color, force_jupyter=False, highlight=False,
        color_system="standard" if color else None,
    )  # fmt: skip
    for places in _blocks(widths, width - labels):
        console.print(_block(marks, shown, places))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def contrast_table(
    found: Sequence[Contrast], labels: Sequence[str], width: int, color: bool
) -> str:
    """Write comparisons of two sides as a table, with a section for each measure.

    Args:
        found: the comparisons.
        labels: the settings of each comparison.
        width: the number of characters of a line.
        color: whether to write escape codes.
    """
    sections: dict[str, list[Row]] = {}
    for each, label in zip(found, labels, strict=True):
        own = each.difference
        cells = [
            str(len(each.paired.seeds)),
            *(f"{mean:.3g}" for mean in each.paired.values.mean(1)),
            f"{own.value:+.3g} [{own.low:+.3g}, {own.high:+.3g}]",
            f"{own.pvalue:.2g}",
            f"undecided: {each.verdict}" if on_divergence(each.verdict) else each.verdict,
        ]
        sections.setdefault(each.paired.name, []).append(Row(label, cells))
    return table_of(["seeds", "A", "B", "A - B", "p", "A has"], sections, width, color)


def _printable(row: Row) -> Row:
    return Row(printable(row.label), [printable(cell) for cell in row.cells], row.same)


def _blocks(widths: Sequence[int], room: int) -> Iterator[Sequence[int]]:
    """Yield the places of each block's columns: as many as fit, but at least one."""
    places: list[int] = []
    for place, width in enumerate(widths):
        if places and sum(widths[each] + GAP for each in places) + width + GAP > room:
            yield places
            places = []
        places.append(place)
    yield places


def _block(
    marks: Sequence[str], sections: Mapping[str, Sequence[Row]], places: Sequence[int]
) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(no_wrap=True)
    for _ in places:
        table.add_column(max_width=WIDEST, overflow="fold")
    table.add_column(no_wrap=True)
    for heading, rows in sections.items():
        if not rows:
            continue
        table.add_row()
        table.add_row(*(Text(text, "bold") for text in (heading, *(marks[p] for p in places))))
        for row in rows:
            cells = (row.label, *(row.cells[place] for place in places), SAME * row.same)
            table.add_row(*map(Text, cells))
    return table
