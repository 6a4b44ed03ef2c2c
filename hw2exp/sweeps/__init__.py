"""Run a sweep: group jobs into fleets, train fleets in worker processes, print a table."""
