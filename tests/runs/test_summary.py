"""The lines at the end of a run."""

from types import SimpleNamespace

import pytest

from hw2exp.runs.summary import _solved, _tested


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


@pytest.mark.parametrize(
    ("steps", "solved_at", "ends_solved", "said"),
    [
        (300, 300, True, "at step 300"),
        (1000, 300, False, "at step 300, but its last test pass is below"),  # later it unlearned
        (1000, 300, None, "at step 300"),  # an older record
        (300, None, False, "no"),
        (201, None, False, "no"),  # the third test is that of the last step
        (200, None, False, "no: that takes 3 tests in a row, and a run makes 2; "),
    ],
)
def test_a_run_says_whether_it_solved_its_task(compose, steps, solved_at, ends_solved, said):
    own = compose(f"steps={steps}", "eval_every=100")
    result = SimpleNamespace(solved_at=solved_at, ends_solved=ends_solved, diverged_at=None)
    told = _solved(own, result)
    assert told == said + "make eval_every smaller" * said.endswith("; ")


def test_a_diverged_run_says_nothing_of_its_last_test(compose):
    """That test may have reached the accuracy; the run ends unsolved because it diverged."""
    result = SimpleNamespace(solved_at=300, ends_solved=False, diverged_at=500)
    assert _solved(compose(), result) == "at step 300"
