"""Measure training steps by metrics: one file per metric."""
