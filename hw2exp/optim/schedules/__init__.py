"""Define schedules, which are factors on each replica's learning rate: one file per schedule."""

ORDER = ("constant", "step", "cosine", "warmup_cosine", "plateau")
"""The order in help and tables."""
