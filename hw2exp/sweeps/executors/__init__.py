"""Define executors of a sweep's fleets: one file per kind of machines."""

ORDER = ("local", "dask", "slurm", "pbs", "lsf")
"""The order in help and tables."""
