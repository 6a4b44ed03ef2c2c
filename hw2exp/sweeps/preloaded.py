"""Import what workers need, in the process that they are forked from."""

from hw2exp.system.process import uncollected

with uncollected():  # garbage collection in a worker would copy the memory that it shares
    import polars  # noqa: F401

    import hw2exp.records.tensorboard
    import hw2exp.runs.fleet_run  # noqa: F401
