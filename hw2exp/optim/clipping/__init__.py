"""Gradient clipping: one file a rule."""
