"""Make the page of a spike from its run folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hw2exp.anatomy.dissection import Dissection, dissect
from hw2exp.anatomy.headline import headline
from hw2exp.anatomy.page import draw
from hw2exp.anatomy.replay import Replayed, replay
from hw2exp.anatomy.verdict import sentences
from hw2exp.diagnostics.step_buffer import norms_by_tensor
from hw2exp.records.kept_spikes import KeptSpike, read_kept
from hw2exp.records.spike import Spike
from hw2exp.runs.spike_request import OTHER_RUN, Request
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.system.terminal import warn

AFTER = 8
"""The number of steps examined after the peak."""

LONGEST = 60
"""The most steps examined before the peak, which may come long after a spike's first step."""


def make_page(request: Request, tell: Callable[[str], None]) -> Path:
    """Draw the anatomy of a spike, tell its findings line by line, and return the page's path.

    Args:
        request: the requested spike of a run.
        tell: the function that receives the lines.

    Raises:
        ConfigError: the replayed steps differ from the recorded ones.
        OSError: the page can't be written.
    """
    found = dissect_spike(request, tell)
    for line in [*headline(found), request.title, *(f"  {line}" for line in sentences(found))]:
        tell(line)
    drawn = draw(found, request.title)
    disk.make_folder(request.out)
    page = request.out / f"{request.name}.png"
    disk.write(page, drawn, sync=False)
    return page


def dissect_spike(request: Request, tell: Callable[[str], None]) -> Dissection:
    """Replay the steps around a spike and examine them.

    Args:
        request: the requested spike of a run.
        tell: the function that receives a line if the run must be trained again from its start.

    Raises:
        ConfigError: the replayed steps differ from the recorded ones.
    """
    config, spike, result = request.config, request.spike, request.result
    last = min(spike.step + AFTER, result.step)
    kept = _kept(request)
    first = kept.first if kept else max(1, spike.start - config.diagnostics.steps_before)
    shown = max(first, spike.step - LONGEST)
    if kept is None:
        tell(f"{request.name.replace('_', ' ')} was not kept: training again to step {last:,}")
        seen = replay(config, 1, shown, last)
    else:
        try:
            seen = replay(config, first, shown, last, kept.state)
        except ValueError as error:
            raise ConfigError([f"{request.folder}: what was kept of the spike {error}"]) from error
    request.check_made_again(seen.losses)
    if problem := _other(seen, kept):
        raise ConfigError([f"{request.folder}: {problem}; {OTHER_RUN}"])
    if request.number is None:
        spike = _divergence(request, seen)
    return dissect(config, spike, seen, result.diverged_at)


def _divergence(request: Request, seen: Replayed) -> Spike:
    """Return the divergence as a spike, with the running median of the loss as baseline."""
    step = request.spike.step
    window = range(step - request.config.spikes.window, step)
    before = [seen.losses[each] for each in window if each in seen.losses]
    initial = request.result.initial["loss"]
    loss, median = seen.losses[step], float(np.median(before)) if before else initial
    return replace(request.spike, loss=loss, median=median, above_initial=not loss <= initial)


def _kept(request: Request) -> KeptSpike | None:
    """Read the run's record of the steps before the spike; None if there is no usable one."""
    if request.number is None:
        return None
    try:
        kept = read_kept(request.folder)
    except OSError:
        return None
    except ValueError as error:
        warn(f"{error}; it is not used")
        return None
    own = next((own for own in kept if own.number == request.number), None)
    if own is not None and own.start != request.spike.start:
        warn(f"{request.folder}: what was kept of the spike is of another step; it is not used")
        return None
    return own


def _other(seen: Replayed, kept: KeptSpike | None) -> str | None:
    """Return how the replayed steps differ from the kept ones, or None if they agree."""
    if kept is None:
        return None
    steps = [step for step in seen.steps if step <= kept.start]
    if not steps:
        return None
    place = steps[0] - kept.first
    params = torch.cat([trace.before.params for trace in seen.traces[: len(steps)]]).numpy()
    if not np.array_equal(params, kept.params[place:]):
        return "the steps made again go elsewhere than those that were kept"
    norms = norms_by_tensor(seen.layout, torch.cat([m.grads for m in seen.traces[: len(steps)]]))
    if norms.keys() != kept.grad_norms.keys():
        return "what was kept has gradients of other names"
    for name, own in norms.items():
        if not np.array_equal(own, kept.grad_norms[name][place:]):
            return f"the gradient of {name} made again is not the one that was kept"
    return None
