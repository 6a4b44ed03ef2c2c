"""SGD, RMSprop and Adam on rows: every replica with its own hyperparameters.

Each is ``init`` and ``update``, pure, and equal to the class of ``torch.optim`` of its name.
Factors are computed in float64 and rounded once, to the dtype of the parameters.
"""

from collections.abc import Sequence
from typing import Any

import torch

from hw2exp.config.groups import Optimizer as OptimizerOptions
from hw2exp.hyperparameters import stack
from hw2exp.optimizers.adam import Adam
from hw2exp.optimizers.optimizer import Optimizer
from hw2exp.optimizers.rmsprop import RMSprop
from hw2exp.optimizers.sgd import SGD

OPTIMIZERS: dict[str, type[Any]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def build(options: Sequence[OptimizerOptions], device: torch.device | str = "cpu") -> Optimizer:
    """Make the optimizer of a fleet.

    Args:
        options: the ``optimizer`` section of each replica, length R.
        device: where its tensors go.
    """
    optimizer: Optimizer = OPTIMIZERS[options[0].name](**stack(options, device))
    return optimizer
