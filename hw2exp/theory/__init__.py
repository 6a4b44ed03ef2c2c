"""Check the theory of the write-up: its formulas as functions, and its answers."""
