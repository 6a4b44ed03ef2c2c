"""Log runs to Weights & Biases (https://wandb.ai)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hw2exp.config.doors import register_logger
from hw2exp.config.groups import Logger
from hw2exp.config.knob import shared
from hw2exp.config.settings import Plain
from hw2exp.records.loggers.protocol import RunLogger, artifacts

QUIET: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
}
"""Settings that leave out the run folder's own records, and facts about the machine."""


@register_logger("wandb")
class WandB(Logger):
    """The knobs of Weights & Biases."""

    project: str = shared("the project that the runs belong to", min_length=1)
    mode: Literal["offline", "online"] = shared(
        "offline: into the run folder, for `wandb sync`; online: to the server at once"
    )

    def new(self) -> RunLogger:
        """Return the logger of a run."""
        return WandBRun(self)


class WandBRun(RunLogger):
    """A run in Weights & Biases: config, history, summary with the result, and files.

    Args:
        knobs: the knobs of Weights & Biases.
    """

    def __init__(self, knobs: WandB) -> None:
        self.knobs = knobs

    def begin(self, config: Mapping[str, Plain], folder: Path) -> None:
        """Make a run, named after the last two parts of its folder; its own files lie there."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self.run = wandb.init(
            project=self.knobs.project,
            name="/".join(folder.absolute().parts[-2:]),
            dir=folder,
            config=dict(config),
            mode=self.knobs.mode,
            reinit="create_new",  # a fleet has many runs at once
            settings=wandb.Settings(**QUIET),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row of the metrics."""
        self.run.log(dict(values), step=step)

    def end(self, result: Mapping[str, Any], folder: Path) -> None:
        """Log the result as the summary, save the files, and finish."""
        self.run.summary.update({name: v for name, v in result.items() if v is not None})
        for path in artifacts(folder):
            self.run.save(str(path), base_path=str(path.parent), policy="now")
        self.run.finish(exit_code=int(result["status"] in ("diverged", "interrupted")))
