"""Hold the measurements of a run at some of its steps, and write and read them as Parquet."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.schema import LAST_STEP
from hw2exp.records.parquet import read_table
from hw2exp.system import disk

if TYPE_CHECKING:
    import polars

STEP = "step"

Value = float | list[float]
Own = TypeVar("Own", bound=Value)


class StepTable(Generic[Own]):
    """A table of values by step and column; a row may lack values.

    Attributes:
        numbers: the names of the columns of numbers.
        lists: the names of the columns of lists.
        added: the columns that older files lack.
        further: the beginning of the names of further columns of numbers; empty: there are none.
    """

    numbers: ClassVar[Collection[str]]
    lists: ClassVar[Collection[str]] = ()
    added: ClassVar[Collection[str]]
    further: ClassVar[str] = ""

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, Own]]] = []

    def __iter__(self) -> Iterator[tuple[int, dict[str, Own]]]:
        """Iterate over the rows: the step, and the measured values by column."""
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Return the steps of the rows."""
        return np.array([step for step, _ in self._rows], dtype=np.int64)

    @classmethod
    def columns(cls) -> list[str]:
        """Return the names of all columns of the catalog except the step."""
        return [*cls.numbers, *cls.lists]

    @classmethod
    def _unknown(cls, names: Iterable[str]) -> set[str]:
        """Return the names that no column can have."""
        unknown = {*names} - {*cls.columns()}
        return {name for name in unknown if not cls.further or not name.startswith(cls.further)}

    def append(self, step: int, row: Mapping[str, Own]) -> None:
        """Add a row.

        Args:
            step: the training step, larger than the previous row's.
            row: the measured values by column.

        Raises:
            ValueError: a column is not in the catalog, a value is a list instead of a number or
                the other way round, or the step is out of order.
        """
        if unknown := self._unknown(row):
            raise ValueError(f"not in the catalog: {sorted(unknown)}")
        if wrong := [name for name in row if isinstance(row[name], list) != (name in self.lists)]:
            raise ValueError(f"a list for a number, or a number for a list: {wrong}")
        last = self._rows[-1][0] if self._rows else 0
        if not last < step <= LAST_STEP:
            raise ValueError(f"step {step} after step {last}")
        self._rows.append((step, dict(row)))

    def values(self, name: str) -> list[Own | None]:
        """Return the value of each row in a column, None where there is none.

        Args:
            name: the name of the column.
        """
        return [row.get(name) for _, row in self._rows]

    def write(self, path: Path) -> None:
        """Write the table as Parquet; missing values are null, a measured NaN stays NaN.

        Args:
            path: the file.
        """
        import polars

        number, numbers = polars.Float64, polars.List(polars.Float64)
        further = sorted({name for _, row in self._rows for name in row} - {*self.columns()})
        columns = [polars.Series(STEP, self.steps, dtype=polars.Int64)]
        columns += [
            polars.Series(name, self.values(name), dtype=numbers if name in self.lists else number)
            for name in (*self.columns(), *further)
        ]
        content = BytesIO()
        polars.DataFrame(columns).write_parquet(content)
        disk.write(path, content.getvalue(), sync=False)

    @classmethod
    def read(cls, path: Path) -> "polars.DataFrame":
        """Read a written table.

        Args:
            path: the file.

        Raises:
            OSError: the file can't be read.
            ValueError: the file is damaged, or holds another table.
        """
        frame = read_table(path, cls._problem)
        steps = frame[STEP]
        rising = steps.is_sorted() and steps.is_unique().all()
        if steps.null_count() or not rising or (steps < 1).any():
            raise ValueError(f"{path}: {STEP}: must rise from 1 on")
        if len(steps) and steps[-1] > LAST_STEP:
            raise ValueError(f"{path}: {STEP}: must be at most {LAST_STEP}")
        return frame

    @classmethod
    def _problem(cls, schema: "Mapping[str, polars.DataType]") -> str | None:
        """Return the reason why columns of these types are not the table's, or None."""
        columns = {STEP, *cls.columns()}
        if unknown := cls._unknown(schema.keys() - {STEP}):
            return f"not in the catalog: {sorted(unknown)}"
        if lacking := columns - {*cls.added} - schema.keys():
            return f"has no {', '.join(sorted(lacking))}"
        if not schema[STEP].is_integer():
            return f"{STEP}: must be integers"
        if other := [name for name, kind in schema.items() if not cls._fits(name, kind)]:
            return f"{', '.join(other)}: must be {'lists of ' * (other[0] in cls.lists)}numbers"
        return None

    @classmethod
    def _fits(cls, name: str, kind: "polars.DataType") -> bool:
        import polars

        if name in cls.lists:
            return kind == polars.List(polars.Float64)
        return kind.is_float() or kind.is_integer()
