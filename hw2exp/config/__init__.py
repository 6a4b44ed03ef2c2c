"""Define and check configs: the schema, the validation, the command line."""
