"""Measure a fleet on sequences that it doesn't train on: the initial loss, and test passes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import State, means
from hw2exp.tasks.task import CHECK, POPULATION, TEST

FRESH_SEQUENCES = 1024
"""Least number of sequences for the initial loss."""


@torch.no_grad()
def evaluate_initial(fleet: Fleet) -> tuple[Tensor, Tensor, Tensor]:
    """Measure loss and accuracy of a large fresh batch before training.

    Args:
        fleet: the runs, before their first step.

    Returns:
        Mean loss and accuracy, each ``(R,)``, and the share of each class in it, ``(R, C)``.
    """
    drawn = [*_fresh(fleet, 0, CHECK, FRESH_SEQUENCES)]
    parts = [fleet.model.losses(fleet.params, *part)[:2] for part in drawn]
    losses, correct = (torch.cat(column, 1) for column in zip(*parts, strict=True))
    labels = torch.cat([own for _, own in drawn], 1)  # (R, B)
    every = [(labels == label).double() for label in range(len(fleet.task.classes))]
    shares = torch.stack([means(own) for own in every], 1)
    return means(losses), means(correct.double()), shares


@torch.no_grad()
def population_statistics(fleet: Fleet, step: int) -> State | None:
    """Estimate the statistics that batch normalization uses in a test pass.

    They are computed with the current parameters: means, over fresh training batches, of the batch
    mean and of the unbiased batch variance (Ioffe & Szegedy 2015, algorithm 2; Cooijmans et al.
    2016). Running averages would lag behind parameters that move fast.

    Args:
        fleet: the runs.
        step: the training step; it selects the fresh batches.

    Returns:
        Mean and variance of each term, ``(R, T, *features)``; None for other norms.
    """
    norm = fleet.model.normalization
    if not norm.over_batch:
        return None
    sums: dict[str, Tensor] = {}
    count = 0
    for symbols, labels in _fresh(fleet, step, POPULATION, norm.population_sequences):
        _, _, seen = fleet.model.losses(fleet.params, symbols, labels)
        for name, value in seen.items():
            if name in sums:
                sums[name].add_(value)  # in float64
            else:
                sums[name] = value.double()
        count += 1
    return {name: (total / count).to(fleet.state.params.dtype) for name, total in sums.items()}


@torch.no_grad()
def evaluate(fleet: Fleet, step: int) -> tuple[Tensor, Tensor]:
    """Run a test pass and return the loss of each batch and the overall accuracy.

    Args:
        fleet: the runs.
        step: the training step just before the test pass.

    Returns:
        Losses ``(R, batches)`` and accuracy ``(R,)``.
    """
    size, batches = fleet.config.batch_size, fleet.config.eval_batches
    drawn = fleet.batch(step, TEST, batches * size)
    losses, correct, _ = fleet.model.losses(
        fleet.params, *drawn, population_statistics(fleet, step)
    )
    by_batch = means(losses.view(-1, size)).view(-1, batches)
    return by_batch, means(correct.double())


def _fresh(fleet: Fleet, step: int, stream: int, least: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw fresh sequences, at least as many as asked for.

    They come in one batch. For batch normalization, they come in batches of the training batch
    size, because its statistics depend on that.
    """
    size = fleet.config.batch_size
    batches = -(-least // size)
    symbols, labels = fleet.batch(step, stream, batches * size)
    parts = batches if fleet.model.normalization.over_batch else 1
    return zip(symbols.chunk(parts, 1), labels.chunk(parts, 1), strict=True)
