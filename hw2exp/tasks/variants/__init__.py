"""Variants of temporal order: one file a source."""

ORDER = ("easy", "normal", "moderate", "hard", "nightmare", "torder")
"""The order in help and tables."""
