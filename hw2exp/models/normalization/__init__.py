"""Normalization inside a recurrent cell: one file a member."""

from hw2exp.models.normalization.protocol import Features, Gain, Matrices, Norm, NormPass, Terms

__all__ = ["Features", "Gain", "Matrices", "Norm", "NormPass", "Terms"]
