"""Normalization inside a recurrent cell: one file a member."""

from hw2exp.models.normalization.protocol import Features, NoNorm, Norm, NormPass, Terms

__all__ = ["Features", "NoNorm", "Norm", "NormPass", "Terms"]
