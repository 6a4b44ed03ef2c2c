"""Cells and their gradients through time in closed form, compiled: one file a cell."""
