"""Hydra's plugins ``hydra/launcher=fleet`` and ``hydra/sweeper=fleet``."""
