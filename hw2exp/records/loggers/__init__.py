"""Pass each run to a logger, another tool, while it trains."""
