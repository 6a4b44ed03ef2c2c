"""Loggers: each run is told to another tool while it trains."""
