"""List the choices of each group, open to models that a user adds, and the operational keys."""

from typing import Any

from hw2exp.config.groups import (
    SGD,
    Adam,
    Attention,
    AttnRNN,
    BatchNorm,
    Clip,
    ClipNorm,
    ClipValue,
    ClipZ,
    Cosine,
    Diagnostics,
    ElmanRNN,
    FixedLength,
    LayerNorm,
    Model,
    Norm,
    Omega,
    Plateau,
    QKNorm,
    Regularizer,
    RMSprop,
    Schedule,
    StepSchedule,
    Task,
    WarmupCosine,
)
from hw2exp.config.knob import Choice

CHOICES: dict[str, dict[str, type[Choice]]] = {
    "model": {
        "gated_rnn": Model,
        "attn_rnn": AttnRNN,
        "attn_rnn_inf": Attention,
        "rnn": ElmanRNN,
        "lstm": Model,
    },
    "task": {
        **dict.fromkeys(("easy", "normal", "moderate", "hard", "nightmare"), Task),
        "torder": FixedLength,
    },
    "optimizer": {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam},
    "clip": {"none": Clip, "norm": ClipNorm, "value": ClipValue, "zclip": ClipZ},
    "norm": {"none": Norm, "batch": BatchNorm, "layer": LayerNorm, "qk": QKNorm},
    "regularizer": {"none": Regularizer, "omega": Omega},
    "schedule": {
        "constant": Schedule,
        "step": StepSchedule,
        "cosine": Cosine,
        "warmup_cosine": WarmupCosine,
        "plateau": Plateau,
    },
    "diagnostics": {"none": Diagnostics, "all": Diagnostics},
}
"""The choices of each group, with the section of each choice; users may add models."""

ADDED_CHOICES: dict[tuple[str, str], dict[str, Any]] = {}
"""Choices that a user's code added, with their default values, by group and name."""

OPERATIONAL = {
    "check_initial_loss",
    "checkpoint_every",
    "device",
    "diagnostics",
    "dry_run",
    "fail_on_divergence",
    "fleet_size",
    "keep_checkpoints",
    "log_every",
    "plot",
    "resume",
    "workers",
}
"""Knobs of how a run is executed and shown, not of what it computes."""
