"""Try interventions on one spike: go back to before it, and train again with one thing changed."""
