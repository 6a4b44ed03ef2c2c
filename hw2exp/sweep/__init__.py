"""A sweep as a few tensor programs: the launcher that Hydra calls."""
