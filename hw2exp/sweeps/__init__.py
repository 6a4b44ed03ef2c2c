"""Run a sweep: jobs into fleets, fleets into worker processes, results into a table."""
