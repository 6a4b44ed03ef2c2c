"""Measure quantities that explain a loss curve."""
