"""A user's choices are tried before a run's folder is made."""

import itertools

import numpy as np
import pytest

from hw2exp import Metric, Schedule, register_clip, register_metric, register_schedule
from hw2exp.config.doors import register_task
from hw2exp.optim.clipping.protocol import Clip
from hw2exp.train import main
from tests.config.own import SHORT


@pytest.fixture
def refused(own, tmp_path, monkeypatch, capsys):
    """Return a function that gives the one line with which a run is refused."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        assert main(["model=rnn", *SHORT, *words]) == 2
        assert list(tmp_path.iterdir()) == []
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


@pytest.mark.parametrize(
    ("measure", "problem"),
    [
        (lambda self, step: {"x": step.grads["no"]}, "a step fails: KeyError: 'no'"),
        (lambda self, step: None, "metric: must return its columns by name, not NoneType"),
        (
            lambda self, step: {"x": 1.0},
            "metric: x must be a tensor (R,), which is (1,) here, not float",
        ),
        (
            lambda self, step: {"x": step.labels.double()[:, :1]},
            "metric: x must be a tensor (R,), which is (1,) here, not (1, 1)",
        ),
        (
            lambda self, step: {"x": step.labels.double().mean().expand(len(step.labels))},
            "a run's metric is not the same alone and in a fleet, in x; nothing may be computed",
        ),
    ],
)
def test_a_metric_is_measured_once_before(refused, measure, problem):
    register_metric("mine")(type("Mine", (Metric,), {"measure": measure}))
    assert problem in refused("metric=mine")


count = itertools.count()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x, y: (x, y.astype(int) - 1), "labels must be 0 to 5, not -1"),
        (lambda x, y: (x, y + 1), "labels must be 0 to 5, not 6"),
        (lambda x, y: (x + 2, y), "symbols must be 0 to 6, not 7"),
        (lambda x, y: (x[:, :, 1:], y), "symbols must be integers of shape (1, 8, 8), not uint8"),
        (lambda x, y: (x[:, 1:], y[:, 1:]), "symbols must be integers of shape (1, 8, 8), not"),
        (lambda x, y: (x.astype(float), y), "symbols must be integers of shape (1, 8, 8), not fl"),
        (lambda x, y: (x, y[..., None]), "labels must be integers of shape (1, 8), not uint8"),
        (lambda x, y: (x, y.tolist()), "labels must be integers of shape (1, 8), not list"),
        (
            lambda x, y: (x, np.roll(y, next(count), 1)),
            "batch: other labels when drawn again; must depend on its arguments alone",
        ),
        (
            lambda x, y: (x, np.roll(y, len(y), 1)),
            "batch: other labels alone than in a fleet; nothing may be computed over R",
        ),
    ],
)
def test_a_batch_is_checked(refused, own, change, problem):
    FirstLetter = own["FirstLetter"]

    def batch(self, seeds, step, size, stream=0):
        return change(*FirstLetter.batch(self, seeds, step, size, stream))

    register_task("mine", length=8)(type("Mine", (FirstLetter,), {"batch": batch}))
    assert problem in refused("task=mine")


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (lambda self, updates, state: state["one"][:, None], "(1, 1)"),
        (lambda self, updates, state: state["one"] / (5 - updates), "(1,)"),  # infinite at the end
    ],
)
def test_a_schedule_is_asked_for_the_first_and_the_last_step(refused, at, found):
    register_schedule("mine")(type("Mine", (Schedule,), {"at": at}))
    assert f"must be finite numbers of shape (R,), which is (1,) here, not {found}" in refused(
        "schedule=mine"
    )


def test_each_program_is_tried(own, tmp_path, monkeypatch, capsys):
    """A clip that works with one cell and fails with another, in either order."""
    monkeypatch.chdir(tmp_path)

    def update(self, grads, params, grad_norm, state):
        if sum(g[0].numel() for g in grads.values()) > 1_000:
            raise ValueError("not of this size")
        return grads, state

    register_clip("mine")(type("Mine", (Clip,), {"update": update}))
    for models in ("rnn,lstm", "lstm,rnn"):
        assert main(["-m", f"model={models}", "clip=mine", *SHORT]) == 2
        assert "clip=mine: a step fails: ValueError: not of this size" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
