"""The write-up's theory: its formulas as functions, and its answers, checked."""
