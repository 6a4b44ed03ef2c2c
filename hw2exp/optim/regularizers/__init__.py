"""Regularizers: terms added to the loss, one file a term."""
