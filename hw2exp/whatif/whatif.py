"""Try interventions on a spike of a run, and write the page of their outcomes."""

import json
import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.runs.spike_request import Request
from hw2exp.system import disk
from hw2exp.whatif.page import render, summary
from hw2exp.whatif.trial import Tried, try_all


def make_page(
    request: Request,
    dos: Sequence[str],
    leads: Sequence[int],
    following: int,
    tell: Callable[[str], None],
) -> Path:
    """Try interventions on a spike, write the page and the numbers, and return the page's path.

    Args:
        request: the run and its spike.
        dos: see :func:`try_all`.
        leads: see :func:`try_all`.
        following: see :func:`try_all`.
        tell: the function that receives lines about progress and outcomes.

    Raises:
        ConfigError: an intervention doesn't apply, or the steps made again are not the run's.
        OSError: the page can't be written.
    """
    with torch_as_known():
        tried = try_all(request, dos, leads, following, tell)
    for line in [request.title, *(f"  {line}" for line in summary(tried))]:
        tell(line)
    page, numbers, losses = render(tried).encode(), _numbers(tried), _losses(tried)
    disk.make_folder(request.out)
    for suffix, content in (("html", page), ("json", numbers), ("parquet", losses)):
        disk.write(request.out / f"{request.name}.{suffix}", content, sync=False)
    return request.out / f"{request.name}.html"


def _numbers(tried: Tried) -> bytes:
    """Return all numbers except the losses as JSON; those that are not finite are null."""
    spike, solved = tried.spike, tried.request.config.solved_accuracy
    rows = []
    for place, choice in enumerate(tried.choices):
        for lead, branches in tried.branches.items():
            fate, accuracy = tried.fates[lead][place], float(branches.test_accuracy[place])
            rows.append(
                {
                    "do": choice.do,
                    "kind": choice.kind,
                    "source": choice.source,
                    "lead": lead,
                    "outcome": fate.outcome,
                    "peak": _finite(fate.peak),
                    "spikes_before": fate.before,
                    "spikes_after": fate.after,
                    "diverged_at": int(branches.diverged_at[place]) or None,
                    "test_loss": _finite(float(branches.test_loss[place])),
                    "test_accuracy": _finite(accuracy),
                    "solved": accuracy >= solved,
                }
            )
    whole: dict[str, Any] = {
        "run": tried.request.folder.name,
        "spike": tried.request.number,
        "start": spike.start,
        "end": spike.end,
        "last": len(tried.losses),
        "branches": rows,
        "left_out": list(tried.left_out),
    }
    return f"{json.dumps(whole, indent=1)}\n".encode()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _losses(tried: Tried) -> bytes:
    """Return the losses of all branches as Parquet: a row for each lead, intervention and step."""
    import polars

    frames = []
    for lead, branches in tried.branches.items():
        steps = np.arange(branches.first, branches.first + len(branches.losses))
        frames += [
            polars.DataFrame({"step": steps, "loss": losses}).select(
                polars.lit(lead).alias("lead"), polars.lit(choice.do).alias("do"), polars.all()
            )
            for choice, losses in zip(tried.choices, branches.losses.T, strict=True)
        ]
    content = BytesIO()
    polars.concat(frames).write_parquet(content)
    return content.getvalue()
