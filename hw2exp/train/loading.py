"""Load the runs below any folder as frames, from Python."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.folder import check_there, typed_path
from hw2exp.config.settings import flat
from hw2exp.records.arms import Run
from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_rows import JOB
from hw2exp.records.runs import runs_below, without_code
from hw2exp.system.problems import ConfigError
from hw2exp.system.terminal import warn
from hw2exp.train.rows import frame_of

if TYPE_CHECKING:
    import polars

RUN = "run"


@dataclass(frozen=True, repr=False)
class Loaded:
    """The runs below a folder.

    Args:
        folder: the folder.
        runs: the runs by name. The name is the path of the run's folder below ``folder``; with
            packed records, the path that this folder would have.
        unread: the reason why each other run could not be read, by name. :attr:`metrics` adds runs
            whose metrics can't be read.
    """

    folder: Path
    runs: dict[str, Run]
    unread: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        from hw2exp.train.notebook import runs_line

        results = [run.result for run in self.runs.values()]
        ended = [(result.status, len(result.spikes)) for result in results]
        return runs_line(self.folder, ended, len(self.unread))

    def _repr_html_(self) -> str:
        from hw2exp.train.notebook import arms_html

        return arms_html(repr(self), self.folder)

    @cached_property
    def results(self) -> "polars.DataFrame":
        """Return one row for each run: its name, the keys of what it computes, then its result."""
        runs = list(self.runs.values())
        configs = [flat(run.config) for run in runs]
        return frame_of(RUN, list(self.runs), configs, [run.result for run in runs])

    @cached_property
    def metrics(self) -> "polars.DataFrame":
        """Stack the metrics of all runs; the column ``run`` holds the run's name."""
        import polars

        frames = list(self._metrics())
        return polars.concat(frames, how="diagonal") if frames else polars.DataFrame()

    def _metrics(self) -> "Iterator[polars.DataFrame]":
        import polars

        for name, run in self.runs.items():
            if run.packed is not None:
                continue
            try:
                frame = run.checked_metrics()
            except ValueError as error:
                self._leave_out(name, error)
                continue
            yield frame.select(polars.lit(name).alias(RUN), polars.all())
        for name, sweep in self.packed.items():
            try:
                yield sweep.metrics().select(
                    polars.concat_str(polars.lit(name), polars.col(JOB)).alias(RUN),
                    polars.exclude(JOB),
                )
            except (OSError, ValueError) as error:
                self._leave_out(name, error)

    @property
    def packed(self) -> dict[str, PackedSweep]:
        """Return each sweep's packed records, by the prefix of its runs' names."""
        each = ((name, run.packed) for name, run in self.runs.items())
        return {name[: name.rfind("/") + 1]: sweep for name, sweep in each if sweep is not None}

    def _leave_out(self, name: str, error: Exception) -> None:
        self.unread[name] = f"metrics: {error}"
        warn(f"{name}: its metrics are left out: {error}")


def load(folder: str | os.PathLike[str]) -> Loaded:
    """Load every run below a folder.

    Args:
        folder: the folder of a run, of a sweep, of packed records, or of many of them.

    Raises:
        ConfigError: there is no such folder, or it holds no run, readable or not.
    """
    path = Path(typed_path(os.fspath(folder)))
    check_there(path, str(path))
    loaded = Loaded(path, {})
    for own, run in runs_below(path):
        name = own.relative_to(path).as_posix()
        if isinstance(run, Exception):
            loaded.unread[name] = str(run)
        else:
            loaded.runs[name] = run
    for line in without_code(loaded.runs.values()):
        warn(line)
    if not (loaded.runs or loaded.unread):
        raise ConfigError([f"{path}: holds no run"])
    return loaded
