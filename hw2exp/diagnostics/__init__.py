"""What explains a loss curve."""
