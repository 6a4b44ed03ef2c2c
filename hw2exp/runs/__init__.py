"""Run one fleet from its configs to its results: recording, checkpoints, live display."""
