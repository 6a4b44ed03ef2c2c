"""SGD, RMSprop and Adam on rows of parameters, with hyperparameters for each replica.

Each optimizer has pure functions ``init`` and ``update``, and equals the class of the same name in
``torch.optim``. Factors are computed in float64 and rounded once, to the parameters' dtype.
"""

ORDER = ("sgd", "rmsprop", "adam")
"""The order in help and tables."""
