"""Process gradients: regularizers, clipping, schedules, optimizers."""
