"""Executors of a sweep's fleets: one file a kind of machines."""

ORDER = ("local", "dask")
"""The order in help and tables."""
