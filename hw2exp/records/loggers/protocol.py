"""Define the interface of a run's logger."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hw2exp.config.run_files import CONFIG, CURVES, RESULT
from hw2exp.config.settings import Plain


class RunLogger(Protocol):
    """The logger of one run; it never changes the run.

    If a method raises an exception, the run goes on without its logger, with a warning.
    """

    def begin(self, config: Mapping[str, Plain], folder: Path) -> None:
        """Begin a run, or a resumed one, whose rows so far follow.

        Args:
            config: the run's config by dotted key.
            folder: the run folder.
        """

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Receive a row of the metrics.

        Args:
            step: the training step.
            values: the values by column, as ``metrics.parquet`` has them; some may be NaN or ∞.
        """

    def end(self, result: Mapping[str, Any], folder: Path) -> None:
        """Receive the end of the run; its files are written.

        Args:
            result: the result by column, see :func:`hw2exp.records.result_row.row_of`.
            folder: the run folder.
        """


def artifacts(folder: Path) -> list[Path]:
    """Return the files of a run that a logger keeps: config, result and curve."""
    names = CONFIG, RESULT, CURVES[0]
    return [folder / name for name in names if (folder / name).is_file()]
