"""Recurrent cells: one file a cell."""

ORDER = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
"""The order in help and tables."""
