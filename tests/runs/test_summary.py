"""The lines at the end of a run."""

from types import SimpleNamespace

import pytest

from hw2exp.runs.summary import _tested


@pytest.mark.parametrize(
    ("step", "diverged_at", "said"),
    [
        (1000, None, ""),  # its end is tested
        (1000, 1000, " (at step 900)"),
        (522, 522, " (at step 500)"),
        (500, 500, " (at step 400)"),  # a run that diverges is not tested at that step
        (400, None, ""),  # solved or pruned at a test
        (450, None, " (at step 400)"),  # interrupted
        (99, None, ""),  # never tested
    ],
)
def test_an_older_test_says_its_step(step, diverged_at, said):
    config = SimpleNamespace(steps=1000, eval_every=100)
    assert _tested(config, SimpleNamespace(step=step, diverged_at=diverged_at)) == said
