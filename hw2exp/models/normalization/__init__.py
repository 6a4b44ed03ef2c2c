"""Normalize inside a recurrent cell: one file per kind of normalization."""

from hw2exp.models.normalization.protocol import Features, Gain, Matrices, Norm, NormPass, Terms

__all__ = ["Features", "Gain", "Matrices", "Norm", "NormPass", "Terms"]
