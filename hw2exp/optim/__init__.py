"""Everything that touches a gradient: regularizers, clipping, schedules, optimizers."""
