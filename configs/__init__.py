"""The values: Hydra's groups, one file a choice."""
