"""Metrics of training steps: one file a metric."""
