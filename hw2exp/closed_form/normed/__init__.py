"""Cells with a normalization inside, in closed form."""
