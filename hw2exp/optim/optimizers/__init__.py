"""Define optimizers with hyperparameters for each replica: one file per optimizer.

Each has pure functions ``init`` and ``update``. SGD, RMSprop, Adam and AdamW equal the classes of
the same names in ``torch.optim``. Factors are computed in float64 and rounded once, to the dtype of
the parameters.
"""

ORDER = ("sgd", "rmsprop", "adam")
"""The order in help and tables."""
