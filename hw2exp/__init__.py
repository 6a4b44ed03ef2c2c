"""A bench for one question: why does training a recurrent network blow up, and what cures it?"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import fcntl  # noqa: F401
except ImportError:  # Windows has no such file locks
    NEEDS = (
        "hw2exp needs Linux or macOS; on Windows, use WSL: https://learn.microsoft.com/windows/wsl"
    )
    if os.path.basename(sys.argv[0]).partition(".")[0] in ("-m", "hw2exp-train"):  # a command
        print(NEEDS, file=sys.stderr)
        sys.exit(2)
    raise ImportError(NEEDS) from None

from hw2exp.system.version import VERSION

if TYPE_CHECKING:
    from hw2exp.config.doors import (
        register_cell,
        register_clip,
        register_logger,
        register_metric,
        register_norm,
        register_optimizer,
        register_regularizer,
        register_schedule,
        register_task,
    )
    from hw2exp.config.groups import Logger
    from hw2exp.config.knob import per_replica, shared
    from hw2exp.diagnostics.metrics.protocol import Metric
    from hw2exp.models.axes import columns, norms
    from hw2exp.models.cell import Cell, Weight, linear, product
    from hw2exp.models.normalization import Norm
    from hw2exp.optim.clipping.protocol import Clip, rescale
    from hw2exp.optim.optimizers.protocol import Optimizer
    from hw2exp.optim.regularizers.protocol import Regularizer
    from hw2exp.optim.schedules.protocol import Schedule
    from hw2exp.tasks.task import Task, generators
    from hw2exp.train.api import Run, Sweep, run, sweep
    from hw2exp.train.loading import Loaded, load

__all__ = [
    "Cell", "Clip", "Loaded", "Logger", "Metric", "Norm", "Optimizer", "Regularizer", "Run",
    "Schedule", "Sweep", "Task", "Weight", "columns", "generators", "linear", "load", "norms",
    "per_replica", "product",
    "register_cell", "register_clip", "register_logger", "register_metric", "register_norm",
    "register_optimizer", "register_regularizer", "register_schedule", "register_task", "rescale",
    "run", "shared", "sweep",
]  # fmt: skip

# MKL chooses among kernels by how a matrix lies in memory, which depends on its place in a fleet;
# the kernels round differently. Its strict reproducible mode doesn't, at no measurable cost. It is
# read at MKL's first product, so it is set before torch is used.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = VERSION

_HOMES = {
    "hw2exp.config.doors": (
        "register_cell", "register_clip", "register_logger", "register_metric", "register_norm",
        "register_optimizer", "register_regularizer", "register_schedule", "register_task",
    ),
    "hw2exp.config.groups": ("Logger",),
    "hw2exp.config.knob": ("per_replica", "shared"),
    "hw2exp.diagnostics.metrics.protocol": ("Metric",),
    "hw2exp.models.axes": ("columns", "norms"),
    "hw2exp.models.cell": ("Cell", "Weight", "linear", "product"),
    "hw2exp.models.normalization": ("Norm",),
    "hw2exp.optim.clipping.protocol": ("Clip", "rescale"),
    "hw2exp.optim.optimizers.protocol": ("Optimizer",),
    "hw2exp.optim.regularizers.protocol": ("Regularizer",),
    "hw2exp.optim.schedules.protocol": ("Schedule",),
    "hw2exp.tasks.task": ("Task", "generators"),
    "hw2exp.train.api": ("Run", "Sweep", "run", "sweep"),
    "hw2exp.train.loading": ("Loaded", "load"),
}  # fmt: skip
"""The module of each public name; it is imported when the name is first asked for."""


def __getattr__(name: str) -> Any:
    """Import a public name once it is asked for: torch takes a second to load."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
