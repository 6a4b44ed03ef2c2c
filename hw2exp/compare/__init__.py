"""Compare runs: their configs, their results, and the first step at which equal configs differ."""
