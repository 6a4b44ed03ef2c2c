"""The cures that are compared head to head, and the knobs that are tuned."""

from collections.abc import Iterator
from dataclasses import dataclass

from hw2exp.config.registry import CHOICES

OPTIMIZERS: dict[str, tuple[float, float]] = {
    "sgd": (1e-2, 3.0), "rmsprop": (1e-3, 1e-1), "adam": (1e-3, 1e-1),
}  # fmt: skip
"""The range of learning rates that is searched without a cure and with each, by optimizer."""


@dataclass(frozen=True)
class Cure:
    """A cure.

    Args:
        words: its overrides.
        knob: the key of its own knob that is tuned, if it has one.
        tried: the values of the knob.
        only: the optimizer that it stands in for, if it is an optimizer itself.
        rates: the factor on the range of learning rates.
        attention: whether only cells with attention take it.
        elman: whether only the Elman RNN takes it.
    """

    words: str
    knob: str = ""
    tried: tuple[float, ...] = ()
    only: str = ""
    rates: float = 1.0
    attention: bool = False
    elman: bool = False


CURES: dict[str, Cure] = {
    "none": Cure(""),
    "clip norm": Cure("clip=norm", "clip.max_norm", (0.1, 1.0, 10.0)),
    "clip value": Cure("clip=value", "clip.max_value", (0.01, 0.1, 1.0)),
    "ZClip": Cure("clip=zclip", "clip.z_threshold", (1.5, 2.5, 4.0)),
    "AGC": Cure("clip=agc", "clip.max_ratio", (0.01, 0.04, 0.16)),
    "AdaGC": Cure("clip=adagc", "clip.max_ratio", (1.05, 1.5, 3.0)),
    "AutoClip": Cure("clip=autoclip", "clip.percentile", (10.0, 50.0, 90.0)),
    "QK-Clip": Cure("clip=qk_clip", "clip.max_score", (3.0, 10.0, 30.0), attention=True),
    "batch norm": Cure("norm=batch", "norm.gamma", (0.1, 0.3, 1.0)),
    "layer norm": Cure("norm=layer", "norm.gamma", (0.3, 1.0, 3.0)),
    "QK norm": Cure("norm=qk", attention=True),
    "SigmaReparam": Cure("norm=sigma_reparam"),
    "Omega": Cure("regularizer=omega", "regularizer.weight", (0.1, 1.0, 4.0), elman=True),
    "z-loss": Cure("regularizer=z_loss", "regularizer.weight", (1e-4, 1e-3, 1e-2)),
    "label smoothing": Cure("regularizer=label_smoothing", "regularizer.weight", (0.01, 0.1, 0.3)),
    "flossing": Cure("regularizer=flossing", "regularizer.weight", (1e-3, 1e-2, 1e-1)),
    "cosine": Cure("schedule=cosine"),
    "linear": Cure("schedule=linear"),
    "warm-up, cosine": Cure("schedule=warmup_cosine", "schedule.warmup_steps", (20, 60, 200)),
    "WSD": Cure("schedule=wsd", "schedule.decay", (0.1, 0.2, 0.5)),
    "StableAdamW": Cure("optimizer=stable_adamw", "optimizer.max_rms", (0.5, 1.0, 2.0), "adam"),
    "SPAM": Cure("optimizer=spam", "optimizer.threshold", (50.0, 500.0, 5000.0), "adam"),
    "Stable-SPAM": Cure("optimizer=stable_spam", "optimizer.gamma1", (0.7, 0.85, 0.95), "adam"),
    "Lion": Cure("optimizer=lion", "optimizer.beta2", (0.9, 0.99, 0.999), "adam", rates=0.1),
    "Muon": Cure("optimizer=muon", "optimizer.momentum", (0.8, 0.9, 0.95), "adam"),
}
"""The cures by name. An optimizer is compared with Adam."""


def cures_of(model: str, optimizer: str) -> Iterator[tuple[str, Cure]]:
    """Yield the cures that a model and an optimizer can have."""
    attention = getattr(CHOICES["model"][model], "attention", False)
    for name, cure in CURES.items():
        able = (attention or not cure.attention) and (model == "rnn" or not cure.elman)
        if able and cure.only in ("", optimizer):
            yield name, cure
