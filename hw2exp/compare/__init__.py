"""What tells runs apart: their configs, their results, and where two that should agree part."""
