"""A recorded config takes overrides as the command line does."""

import pytest

from hw2exp.config.changed import changed
from hw2exp.system.problems import ConfigError


@pytest.mark.parametrize(
    "lines",
    [
        ["clip=norm"],
        ["clip=norm", "clip.max_norm=3"],
        ["optimizer=adam", "optimizer.beta2=0.95"],
        ["optimizer.lr=3e-4", "seed=7"],
        ["schedule=cosine", "schedule.min_factor=0.5", "batch_size=64"],
    ],
)
def test_the_same_config_as_on_the_command_line(compose, lines):
    base = ["model=lstm", "task=easy", "optimizer=rmsprop", "optimizer.alpha=0.9"]
    keeps = [] if "optimizer=adam" in lines else base[3:]
    assert changed(compose(*base), lines) == compose(*base[:3], *keeps, *lines)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("clip=nrom", "clip=nrom: no such choice; did you mean norm?"),
        ("clip=3", "clip=3: no such choice"),
        ("optimizer.lr=-1", "optimizer.lr=-1: must be a finite number > 0"),
        ("optimizer.beta1=0.5", "optimizer=rmsprop has no such key"),
        ("optimizer.lr=1,2", "optimizer.lr=1,2: must be KEY=VALUE, with one value"),
        ("~clip", "~clip: must be KEY=VALUE, with one value"),
        ("clip", "clip: not an override; must be KEY=VALUE"),
        ("model=lstm", "model=lstm: can't change in the middle of a run"),
        ("steps=9", "steps=9: can't change in the middle of a run"),
        ("optimizer.lr=${oc.env:HOME}", "optimizer.lr=${oc.env:HOME}: must be a finite number"),
    ],
)
def test_a_line_says_what_is_wrong(compose, line, problem):
    with pytest.raises(ConfigError) as error:
        changed(compose("optimizer=rmsprop"), [line])
    assert problem in str(error.value)
    assert len(error.value.problems) == 1
