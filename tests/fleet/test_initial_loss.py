import math

import pytest

from hw2exp.fleet.evaluation import evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.initial_loss import check_initial


@pytest.mark.parametrize(
    ("loss", "accuracy", "meaning"),
    [
        (math.log(4), 0.25, None),
        (1.44, 0.21, None),
        (1.6, 0.25, "init.readout_scale"),
        (0.7, 0.25, "trained weights"),
        (math.log(4), 0.9, "labels leak"),
        (float("nan"), 0.25, "overflows"),
        (float("inf"), 0.25, "readout_scale"),
    ],
)
def test_the_initial_check_says_what_was_found_and_what_it_means(loss, accuracy, meaning):
    line = check_initial(loss, accuracy, 16)
    if meaning is None:
        assert line is None
    else:
        assert meaning in line
        assert f"{loss:.4f}" in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("hidden_size", "loss", "right"),
    [
        (16, 1.48, True), (16, 1.49, False), (64, 1.49, False),  # ln 4 + 0.1
        (8, 1.58, True), (8, 1.59, False), (4, 1.78, True), (4, 1.79, False),  # + 0.2, + 0.4
        (4, 1.28, False), (1, 1.28, False), (1, 2.98, True), (1, 3.0, False),  # - 0.1 for all
    ],
)  # fmt: skip
def test_a_small_network_may_start_higher(hidden_size, loss, right):
    assert (check_initial(loss, 0.25, hidden_size) is None) == right


SMALL_NETWORKS = [
    "experiment=notebook_rnn_easy",
    "model=rnn task=moderate model.hidden_size=4",
    "model=lstm task=easy model.hidden_size=2",
    "model=gated_rnn task=easy model.hidden_size=3",
]


@pytest.mark.parametrize("words", SMALL_NETWORKS)
def test_every_sound_start_of_a_small_network_passes_and_a_wrong_one_does_not(compose, words):
    config = compose(*words.split())
    hidden = config.model.hidden_size

    def problems(scale):
        init = config.init.model_copy(update={"readout_scale": scale})
        change = {"init": init}
        runs = [config.model_copy(update={**change, "seed": seed}) for seed in range(100)]
        starts = zip(*(each.tolist() for each in evaluate_initial(Fleet(runs))), strict=True)
        return [check_initial(loss, accuracy, hidden) for loss, accuracy, _ in starts]

    assert problems(1.0) == [None] * 100
    assert all("lower init.readout_scale" in (told or "") for told in problems(40.0))


def test_a_zero_readout_starts_at_exactly_ln_4(compose):
    fleet = Fleet([compose("init.readout=zeros", "task=easy")])
    loss, accuracy, _ = evaluate_initial(fleet)
    assert float(loss) == pytest.approx(math.log(4), abs=1e-6)
    assert 0.2 < float(accuracy) < 0.3
