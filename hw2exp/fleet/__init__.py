"""Train R runs as one tensor program: state, step, loop."""
