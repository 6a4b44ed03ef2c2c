"""The cures: clipping, normalization, schedules."""
