"""Answer part 1.3 (d): loss and accuracy before training."""

import numpy as np
import torch

from hw2exp.config.command_line import read
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.evaluation import evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.initial_loss import LOSS_TOLERANCE
from hw2exp.records.metrics import INITIAL_ACCURACY, INITIAL_LOSS
from hw2exp.tasks.task import CHECK
from hw2exp.tasks.temporal_order import CLASSES
from hw2exp.theory.answer import Answer, Check, Verdict, judge
from hw2exp.theory.answers.deviation import worst
from hw2exp.theory.reach import MODELS

INITIALIZATIONS = 1_000
SMALL_FLEET = 50
EACH = 16
"""The number of sequences of each class: on equal numbers, a constant guess has accuracy 0.25."""


def d() -> Answer:
    """Answer (d): ln 4 and 0.25."""
    loss, accuracy = zero_readout()
    numbers = ["loss: median [99 %], least to largest; accuracy: mean ± deviation"]
    around, far = True, 0
    for model in MODELS:
        losses, accuracies = initial_values(model)
        low, middle, high = np.quantile(losses, [0.005, 0.5, 0.995])
        off = int((np.abs(losses - INITIAL_LOSS) > LOSS_TOLERANCE).sum())
        around &= off == 0 and abs(accuracies.mean() - INITIAL_ACCURACY) < 0.01
        far = max(far, off)
        numbers.append(
            f"{model:<12} {middle:.4f} [{low:.4f}, {high:.4f}], {losses.min():.4f} to "
            f"{losses.max():.4f}; {accuracies.mean():.3f} ± {accuracies.std():.3f}"
        )
    return Answer(
        "1.3 (d)",
        "Loss and accuracy before training",
        "around 0.25 and −ln 0.25 ≈ 1.39",
        "exactly ln 4 = 1.38629… and, on balanced classes, 0.25 for a readout of zeros",
        [
            Check("readout of zeros: every sequence's loss = ln 4, five models", loss, 1e-6),
            Check("readout of zeros: accuracy on balanced classes = 0.25", accuracy, 0),
            Check("torch's cross-entropy of equal logits = ln 4", _equal_logits(), 1e-15),
        ],
        judge(around, Verdict.CORRECTED),
        f"of {INITIALIZATIONS:,} initializations of each model on EASY {far or 'none'} "
        f"{'start' if far > 1 else 'starts'} farther than {LOSS_TOLERANCE} from ln 4",
        numbers,
    )


def zero_readout() -> tuple[float, float]:
    """Return the largest distances of loss from ln 4 and accuracy from 0.25, over all models."""
    losses, shares = [], []
    for model in MODELS:
        fleet = Fleet(_configs(model, 4, "init.readout=zeros"))
        symbols, labels = fleet.batch(0, CHECK, 64 * EACH)
        balanced = torch.stack([_balanced(own) for own in labels])  # (R, 4·EACH)
        symbols = symbols.gather(1, balanced[..., None].expand(-1, -1, symbols.shape[2]))
        values, correct, _ = fleet.model.losses(fleet.params, symbols, labels.gather(1, balanced))
        losses += (values.double() - INITIAL_LOSS).abs().flatten().tolist()
        shares += (correct.double().mean(1) - INITIAL_ACCURACY).abs().tolist()
    return worst(losses), worst(shares)


def _balanced(labels: torch.Tensor) -> torch.Tensor:
    """Return the indices of the first ``EACH`` sequences of each class."""
    places = [(labels == own).nonzero().flatten()[:EACH] for own in range(len(CLASSES))]
    return torch.cat(places)


def initial_values(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and accuracy ``(R,)`` of a model's initializations, as training checks them."""
    configs = _configs(model, INITIALIZATIONS)
    parts = [
        evaluate_initial(Fleet(configs[start : start + SMALL_FLEET]))
        for start in range(0, INITIALIZATIONS, SMALL_FLEET)
    ]
    loss, accuracy, _ = (torch.cat(own).double().numpy() for own in zip(*parts, strict=True))
    return loss, accuracy


def _configs(model: str, seeds: int, *overrides: str) -> list[TrainConfig]:
    words = ["-m", f"model={model}", "task=easy", f"seed=range(0,{seeds})", *overrides]
    return [job.config for job in read(words).jobs]


def _equal_logits() -> float:
    """Return the distance of torch's cross-entropy of equal logits from ln 4."""
    classes = torch.arange(len(CLASSES))
    logits = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.float64)
    return abs(float(torch.nn.functional.cross_entropy(logits, classes)) - INITIAL_LOSS)
