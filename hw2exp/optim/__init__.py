"""SGD, RMSprop and Adam on rows of parameters, with hyperparameters for each replica.

Each optimizer has pure functions ``init`` and ``update``, and equals the class of the same name in
``torch.optim``. Factors are computed in float64 and rounded once, to the parameters' dtype.
"""

from collections.abc import Sequence
from typing import Any

import torch

from hw2exp.config.groups import Optimizer as OptimizerOptions
from hw2exp.models.hyperparameters import stack
from hw2exp.optim.adam import Adam
from hw2exp.optim.optimizer import Optimizer
from hw2exp.optim.rmsprop import RMSprop
from hw2exp.optim.sgd import SGD

OPTIMIZERS: dict[str, type[Any]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def build(options: Sequence[OptimizerOptions], device: torch.device | str = "cpu") -> Optimizer:
    """Make the optimizer of a fleet.

    Args:
        options: the ``optimizer`` section of each replica, length R.
        device: the device of the tensors.
    """
    optimizer: Optimizer = OPTIMIZERS[options[0].name](**stack(options, device))
    return optimizer
