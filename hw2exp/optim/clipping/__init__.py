"""Clip gradients: one file per rule."""
