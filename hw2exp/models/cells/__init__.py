"""Define recurrent cells: one file per cell."""

ORDER = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
"""The order in help and tables."""
