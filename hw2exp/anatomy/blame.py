"""Find the step and the sequences to blame for a spike."""

from dataclasses import dataclass

import numpy as np
import torch

from hw2exp.anatomy.replay import Replayed
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import norms
from hw2exp.records.metrics import INITIAL_LOSS
from hw2exp.records.spike import Spike
from hw2exp.tasks.chosen import task_of

HALF = 0.5

LOST = 10 * INITIAL_LOSS
"""Ten times the loss of guessing: a run is lost above it, and a further rise means nothing."""


@dataclass(frozen=True)
class Suspect:
    """A sequence of the batch, and its part in the gradient.

    Args:
        text: the sequence in readable form.
        loss: the loss of the sequence.
        gradient: the norm of that loss's gradient; NaN under batch normalization.
    """

    text: str
    loss: float
    gradient: float


def find_culprit(fresh: Floats, peak: int, spike: Spike, margin: float) -> tuple[int, bool]:
    """Return the step whose update raised the loss, and whether there is such a step.

    The parameters are at fault if at the peak the loss of other sequences exceeds the baseline by
    the margin of a spike, or by half as much as the batch's loss does. The culprit is then the last
    step before the peak that took the others' loss across the middle between baseline and peak. An
    earlier rise that had ended is ignored.

    Args:
        fresh: the loss of other sequences before each step, ``(n,)``.
        peak: the index of the peak among the steps.
        spike: the spike.
        margin: the least height of a spike.

    Returns:
        The index of the culprit, or of the step before the peak; and whether it is a culprit.
    """
    if spike.loss <= spike.median:  # the gradient or the step diverged, not the loss
        return max(peak - 1, 0), False
    risen, own = fresh[peak] - spike.median, spike.loss - spike.median
    if risen < min(margin, HALF * own):  # false for NaN, which counts as high
        return max(peak - 1, 0), False
    middle = spike.median + HALF * rise_of(fresh[peak], spike.median)
    below = np.flatnonzero(fresh[:peak] < middle)
    return (int(below[-1]) if len(below) else 0), True


def rise_of(loss: float, baseline: float) -> float:
    """Return the rise of a loss above its baseline, capped where a run is lost or not finite.

    The loss is capped at ``LOST``, or at twice the baseline if that is more.
    """
    top = max(LOST, 2 * baseline)
    return (min(loss, top) if np.isfinite(loss) else top) - baseline


def suspects_of(config: TrainConfig, seen: Replayed, place: int) -> tuple[list[Suspect], list[int]]:
    """Measure each sequence of a step's batch as a batch of its own.

    Args:
        config: the run's config.
        seen: the replayed steps.
        place: the index of the step among them.

    Returns:
        The sequences by falling gradient norm (by falling loss under batch normalization), and
        their indices in the batch.
    """
    trace = seen.traces[place]
    symbols, labels = trace.symbols[0], trace.labels[0]  # (B, T), (B,)
    singles = Fleet([config] * len(labels))
    params = singles.layout.unflatten(trace.before.params.expand(len(labels), -1))
    if singles.model.normalization.over_batch:  # a single sequence has no variance
        together = {name: value[:1] for name, value in params.items()}
        losses = Fleet([config]).model.losses(together, trace.symbols, trace.labels)[0][0]
        sizes = torch.full_like(losses, torch.nan)
        key = losses
    else:
        back = singles.model.gradient(params, symbols[:, None], labels[:, None])
        rows = singles.layout.rows(back.of)
        losses, sizes = back.loss, norms(rows)
        key = sizes
    order = key.nan_to_num(torch.inf).argsort(descending=True, stable=True).tolist()
    text = task_of(config.task).text
    texts = [text(symbols[row].numpy(), int(labels[row])) for row in order]
    each = zip(texts, losses[order].tolist(), sizes[order].tolist(), strict=True)
    return [Suspect(*own) for own in each], order
