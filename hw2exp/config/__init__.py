"""Configs: the schema, their validation, the command line."""
