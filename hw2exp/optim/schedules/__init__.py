"""Learning-rate schedules, factors on the learning rate of each replica: one file a schedule."""

ORDER = ("constant", "step", "cosine", "warmup_cosine", "plateau")
"""The order in help and tables."""
