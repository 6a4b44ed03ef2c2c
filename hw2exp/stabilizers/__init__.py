"""The cures: clipping, normalization, regularizers, schedules."""
