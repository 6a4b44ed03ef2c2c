"""Executors of a sweep's fleets: one file a kind of machines."""

ORDER = ("local", "dask", "slurm", "pbs", "lsf")
"""The order in help and tables."""
