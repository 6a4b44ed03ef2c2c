"""The system: files, locks, signals, the terminal; knows nothing of training."""
