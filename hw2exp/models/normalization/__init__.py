"""Normalization inside a recurrent cell: one file a family."""

from collections.abc import Sequence
from typing import Any

import torch

from hw2exp.config.groups import Norm as NormOptions
from hw2exp.models.hyperparameters import stack
from hw2exp.models.normalization.batch import BatchNorm
from hw2exp.models.normalization.layer import LayerNorm, QKNorm
from hw2exp.models.normalization.protocol import Features, NoNorm, Norm, NormPass, Terms

__all__ = ["NORMS", "Features", "NoNorm", "Norm", "NormPass", "Terms", "build"]

NORMS: dict[str, type[Any]] = {
    "none": NoNorm,
    "batch": BatchNorm,
    "layer": LayerNorm,
    "qk": QKNorm,
}


def build(options: Sequence[NormOptions], device: torch.device | str = "cpu") -> Norm:
    """Make the normalization of a fleet.

    Args:
        options: the ``norm`` section of each replica, length R.
        device: the device of the tensors.
    """
    norm: Norm = NORMS[options[0].name](**stack(options, device))
    return norm
