"""Closed forms of cells with a normalization inside."""
