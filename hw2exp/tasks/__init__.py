"""The temporal-order task, the notebook's stream, random numbers."""
