"""Log runs to MLflow (https://mlflow.org)."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw2exp.config.doors import register_logger
from hw2exp.config.groups import Logger
from hw2exp.config.knob import shared
from hw2exp.config.settings import Plain
from hw2exp.records.loggers.protocol import RunLogger, artifacts

MOST_METRICS, MOST_PARAMS = 1000, 100
"""Most entries of a call to MLflow."""

SECONDS = 5.0
"""Longest time that rows wait to be sent together."""

QUIET = {"MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Environment variables for MLflow's import, unless they are set already."""

STATUS = {"interrupted": "KILLED", "diverged": "FAILED"}
"""MLflow's status of a run by the run's status; for all others, it is ``FINISHED``."""


@register_logger("mlflow")
class MLflow(Logger):
    """The knobs of MLflow."""

    uri: str | None = shared("where MLflow keeps runs, as sqlite:///runs.db; null: its default")
    experiment: str = shared("MLflow's experiment that the runs belong to", min_length=1)

    def prepare(self) -> None:
        """Make the experiment; in a new database, MLflow makes its tables first."""
        MLflowRun(self).experiment()

    def new(self) -> RunLogger:
        """Return the logger of a run."""
        return MLflowRun(self)


class MLflowRun(RunLogger):
    """A run in MLflow: params, metrics, tags with the result, and artifacts.

    Args:
        knobs: the knobs of MLflow.
    """

    def __init__(self, knobs: MLflow) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self.knobs = knobs
        self.client = MlflowClient(tracking_uri=knobs.uri)
        self._waiting: list[Any] = []
        self._sent = time.monotonic()

    def begin(self, config: Mapping[str, Plain], folder: Path) -> None:
        """Make a run, named after the last two parts of its folder."""
        from mlflow.entities import Param

        name = "/".join(folder.absolute().parts[-2:])
        run = self.client.create_run(self.experiment(), run_name=name)
        self.run = run.info.run_id
        params = [Param(key, str(value)) for key, value in config.items()]
        for at in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(self.run, params=params[at : at + MOST_PARAMS])

    def experiment(self) -> str:
        """Return the experiment's number; several processes may want to make it at once."""
        from mlflow.exceptions import MlflowException

        name = self.knobs.experiment
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name))
            except MlflowException:
                if (found := self.client.get_experiment_by_name(name)) is None:
                    raise
        return str(found.experiment_id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keep a row; send rows together, after some time or some number of values."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        if len(self._waiting) > MOST_METRICS or time.monotonic() - self._sent > SECONDS:
            self._send()

    def _send(self) -> None:
        for at in range(0, len(self._waiting), MOST_METRICS):
            self.client.log_batch(self.run, metrics=self._waiting[at : at + MOST_METRICS])
        self._waiting.clear()
        self._sent = time.monotonic()

    def end(self, result: Mapping[str, Any], folder: Path) -> None:
        """Send the rest, the result as tags, and the artifacts."""
        self._send()
        for name, value in result.items():
            if value is not None:
                self.client.set_tag(self.run, name, value)
        for path in artifacts(folder):
            self.client.log_artifact(self.run, str(path))
        self.client.set_terminated(self.run, STATUS.get(result["status"], "FINISHED"))
