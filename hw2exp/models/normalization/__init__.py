"""Normalization inside a recurrent cell: one file a member."""

from hw2exp.models.normalization.protocol import Features, Norm, NormPass, Terms

__all__ = ["Features", "Norm", "NormPass", "Terms"]
