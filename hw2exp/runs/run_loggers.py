"""Pass the runs of a fleet to a logger; if the logger fails, only warn, and go on without it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hw2exp.config.schema import TrainConfig
from hw2exp.config.settings import flat
from hw2exp.records.loggers.protocol import RunLogger
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.result_row import row_of
from hw2exp.records.run_dir import RunResult
from hw2exp.system.terminal import warn

COLUMNS = tuple(CATALOG)


def prepare_loggers(configs: Iterable[TrainConfig]) -> None:
    """Prepare each logger of a sweep once; warn if one fails."""
    loggers = {str(config.logger): config.logger for config in configs}
    for logger in loggers.values():
        try:
            logger.prepare()
        except Exception as error:
            _warn(logger.name, error)


def _warn(name: str, error: Exception) -> None:
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    warn(f"logger={name}: failed, so the runs go on without it: {why}")


class RunLoggers:
    """The loggers of a fleet's runs; after a failure, none is called any more.

    Args:
        configs: the config of each member.
        folders: the run folder of each config.
        tables: the metrics so far of each member.
    """

    def __init__(
        self,
        configs: Mapping[int, TrainConfig],
        folders: Sequence[Path],
        tables: Mapping[int, MetricsTable],
    ) -> None:
        self.folders = folders
        self._of: dict[int, RunLogger] = {}
        for member, config in configs.items():
            self._name = config.logger.name
            if self._name == "none" or not self._try(
                lambda: self._begin(member, config, tables[member])  # noqa: B023
            ):
                break

    def _begin(self, member: int, config: TrainConfig, table: MetricsTable) -> None:
        own = config.logger.new()
        own.begin(flat(config), self.folders[member])
        for step, row in table:
            own.log(step, row)
        self._of[member] = own

    def log(self, member: int, steps: Sequence[int], columns: Sequence[Sequence[float]]) -> None:
        """Pass new rows of a member to its logger.

        Args:
            member: the member.
            steps: the steps of the rows.
            columns: the values of the catalog's first columns, for each row.
        """
        if member not in self._of:
            return

        def tell() -> None:
            for step, values in zip(steps, columns, strict=True):
                self._of[member].log(step, dict(zip(COLUMNS, values, strict=False)))

        self._try(tell)

    def end(self, results: Mapping[int, RunResult]) -> None:
        """Pass the results of members to their loggers, after their files were written.

        Args:
            results: the result of each member.
        """
        for member, result in results.items():
            if (own := self._of.pop(member, None)) is not None:
                self._try(lambda: own.end(row_of(result), self.folders[member]))  # noqa: B023

    def _try(self, tell: Callable[[], None]) -> bool:
        """Call a function, and return whether it worked; after a failure, drop all loggers."""
        try:
            tell()
        except Exception as error:  # from other people's code and servers
            self._of.clear()
            _warn(self._name, error)
            return False
        return True
