"""Compiled closed forms of the cells and their gradients through time: one file a cell."""
