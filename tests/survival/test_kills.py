"""Killed at any instant, or failed by its disk, a run gives what it gives whole."""

import pytest

from tests.tiers import first_slow

MODELS = ["gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm"]
EVERY = 10
"""Steps between two checkpoints, as ``lives.py`` has it."""


def runs(folder):
    """The run that nothing befell, and the others."""
    whole = folder / "whole/run"
    return whole, sorted({*folder.glob("*/run")} - {whole})


@pytest.mark.parametrize("model", first_slow(*MODELS))
def test_killed_at_random_instants(lives, same, tmp_path, model):
    told = lives("random", model, 42, tmp_path)
    assert told["kills"] == 42
    assert told["redone"] <= EVERY
    same(*runs(tmp_path))


SEEN = [
    "diagnostics=all", "diagnostics.flow_every=4", "diagnostics.cell_every=10",
    "diagnostics.jacobian_every=20", "diagnostics.sharpness_every=30", "diagnostics.steps_before=7",
    "diagnostics.histogram_every=25", "spikes.window=11", "spikes.margin=0.05",
    "spikes.deviations=0",
]  # fmt: skip
"""Looked into often, by what spikes often."""


@pytest.mark.nightly
def test_killed_at_random_instants_while_it_is_looked_into(lives, same, tmp_path):
    told = lives("random", "attn_rnn", 30, tmp_path, *SEEN)
    assert told["redone"] <= EVERY
    assert (tmp_path / "whole/run/spikes.safetensors").exists()
    same(*runs(tmp_path))


@pytest.mark.nightly
@pytest.mark.parametrize("fault", ["kill", "fail"])
def test_operations_go_wrong_while_it_is_looked_into(lives, same, tmp_path, fault):
    told = lives("operations", fault, tmp_path, 1, 16, *SEEN)[fault]
    assert told["failures"] == []
    assert told["cases"] > 5
    same(*runs(tmp_path / fault))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("fault", "share"),
    [("kill", 0), ("fail", 1), ("kill", 1), ("fail", 0)],
)
def test_each_operation_of_a_run_goes_wrong(lives, same, tmp_path, fault, share):
    told = lives("operations", fault, tmp_path, share, 2)[fault]
    assert told["failures"] == []
    assert told["operations"] > 60
    assert told["cases"] >= told["operations"] // 2
    same(*runs(tmp_path / fault))


@pytest.mark.slow
def test_some_operations_of_a_run_go_wrong(lives, same, tmp_path):
    """A few of the above at each landing."""
    for fault, told in lives("operations", "kill+fail", tmp_path, 11, 60).items():
        assert told["failures"] == []
        assert told["cases"] >= 2
        same(*runs(tmp_path / fault))
