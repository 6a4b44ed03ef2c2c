import numpy as np
import pytest

from hw2exp.config.command_line import read
from hw2exp.theory.answer import Verdict, decide
from hw2exp.theory.answers import loss_curve
from hw2exp.theory.spike_causes import best_step, causes, thrown
from hw2exp.theory.trained_curves import TrainedCurves, recomputed_losses, train_curves

STEPS, RUNS = 400, 8
SPIKES = (100, 200, 300)


def made(exploded_before=0, params=None):
    """Curves with three spikes each, with gradients that explode that many steps before."""
    rng = np.random.default_rng(0)
    losses = 0.5 + 0.02 * rng.standard_normal((STEPS, RUNS))
    norms = np.exp(0.2 * rng.standard_normal((STEPS, RUNS)))
    for step in SPIKES:
        losses[step - 1] = 2.0
        if exploded_before:
            norms[step - 1 - exploded_before] = 100
    configs = [job.config for job in read(["-m", f"seed=range(0,{RUNS})"]).jobs]
    return TrainedCurves(configs, np.full(RUNS, 1.39), losses, norms, params)


@pytest.mark.parametrize(("before", "share"), [(0, 0), (1, 1), (5, 1), (6, 0)])
def test_explosions_count_up_to_five_steps_before(before, share):
    found = causes(made(before))
    assert found.spikes.tolist() == [3] * RUNS
    assert found.share == share
    assert (found.pvalue() < 0.05) == bool(share)
    if before:
        np.testing.assert_allclose(found.base, 15 / (STEPS - 25))
        assert found.followed == share


def test_an_explosion_at_the_spike_itself_is_its_effect():
    curves = made()
    curves.norms[[step - 1 for step in SPIKES]] = 100
    assert causes(curves).share == 0


def test_explosions_anywhere_explain_nothing():
    curves = made()
    curves.norms[np.random.default_rng(3).random((STEPS, RUNS)) < 0.15] = 100
    found = causes(curves)
    assert 0.3 < found.share < 0.8
    assert found.pvalue() > 0.05


def test_chance_is_that_of_the_steps_at_which_a_spike_could_begin():
    curves = made(exploded_before=1)
    curves.losses[350:] = np.nan  # diverged
    curves.norms[350:] = np.nan
    np.testing.assert_allclose(causes(curves).base, 15 / (350 - 25))


def wandering():
    """Parameters that start 3 from the run's own best, and 3 from another's on the other side."""
    params = np.zeros((STEPS, RUNS, 2), np.float32)
    params[:50, :, 0] = 3.0
    params[100 - 1, :, 0] = 6.0
    params[200 - 1, :, 0] = 1.5
    params[300 - 1, :, 0] = 12.0
    curves = made(params=params)
    curves.losses[:50] = 1.4
    curves.losses[199] = 1.2  # a spike below the initial loss
    return curves


def test_where_the_parameters_are_thrown():
    found = thrown(wandering())
    assert (found.above, found.farther, found.ratio) == (2 * RUNS, 2 * RUNS, 3.0)
    assert found.anywhere == pytest.approx(2 / STEPS)


def test_seen_from_another_runs_best():
    curves = wandering()
    curves.params[60:, 0, 0] += 6.0  # run 0 ends elsewhere,
    curves.losses[50:, 0] -= 0.2  # and best
    found = thrown(curves, of_another=True)
    # from 6: the start is 3 off, the peaks at 6 and 12 are 0 and 6, the rest is 6
    others = 2 * (RUNS - 1)
    assert found.above == others + 2
    assert found.farther == RUNS - 1 + 2
    assert found.anywhere > 0.8


def test_a_run_that_diverged_at_once_has_no_distance():
    curves = wandering()
    curves.losses[1:, 0] = np.nan
    curves.norms[1:, 0] = np.nan
    assert best_step(curves.losses[:, 0], 51) is None
    assert thrown(curves).above == 2 * (RUNS - 1)
    assert thrown(curves, of_another=True).above == 2 * (RUNS - 1)
    assert curves.diverged() == 1
    assert curves.spikes_per_1000()[0] == 0


def test_the_best_step_lies_amid_the_best_window():
    losses = np.ones(300)
    losses[120:180] = 0.1
    step, loss = best_step(losses, 51)
    assert 120 < step < 180
    assert loss == 0.1


def test_spikes_are_counted_by_the_steps_that_were_made():
    curves = made()
    np.testing.assert_allclose(curves.spikes_per_1000(), 3 / STEPS * 1_000)
    curves.losses[250:] = np.nan
    np.testing.assert_allclose(curves.spikes_per_1000(), 2 / 250 * 1_000)


@pytest.mark.parametrize(
    ("change", "pvalue", "more_diverged", "effect"),
    [
        (-2, 0.01, 0, "fewer"),
        (-2, 0.01, 1, "diverges"),
        (2, 0.01, -1, "more"),
        (-2, 0.2, 0, "undecided"),
    ],
)
def test_what_a_cure_does(change, pvalue, more_diverged, effect):
    assert loss_curve.effect(change, pvalue, more_diverged) == effect


def test_of_one_run_with_spikes_nothing_can_be_said():
    curves = made(exploded_before=1)
    curves.losses[:, 1:] = 0.5
    assert causes(curves).pvalue() == 0.5  # its sign is one of two, as likely as the other


def test_curves_are_those_of_the_runs():
    words = ["model=gated_rnn", "task=easy", "steps=30", "optimizer.lr=0.01"]
    curves = train_curves(words, seeds=3, keep_params=True)
    assert curves.losses.shape == curves.norms.shape == (30, 3)
    assert np.isfinite(curves.losses).all()
    for step in (1, 2, 30):
        np.testing.assert_allclose(
            recomputed_losses(curves, step), curves.losses[step - 1], atol=1e-5
        )
    assert np.abs(recomputed_losses(curves, 30) - curves.losses[28]).max() > 1e-3
    alone = train_curves(words, seeds=1)
    np.testing.assert_array_equal(alone.losses[:, 0], curves.losses[:, 0])
    assert alone.params is None


def test_a_run_that_diverges_is_nan_from_then_on():
    curves = train_curves(
        ["model=rnn", "task=easy", "steps=40", "optimizer=sgd", "optimizer.lr=3e38"], 2, True
    )
    ended = np.isnan(curves.losses).argmax(0)
    assert (ended > 0).all()
    assert np.isnan(curves.losses[-1]).all()
    assert all(curves.spikes(run) is not None for run in range(2))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([True, True], Verdict.HOLDS),
        ([True, False], Verdict.PARTLY),
        ([True, None], Verdict.PARTLY),
        ([False, False], Verdict.FALSE),
        ([False, None], Verdict.OPEN),
        ([], Verdict.OPEN),
    ],
)
def test_the_verdict_of_several_settings(found, verdict):
    assert decide(found) is verdict


@pytest.mark.parametrize(
    ("effects", "cures"),
    [
        (["fewer", "undecided"], True),
        (["more", "undecided"], False),
        (["diverges"], False),
        (["fewer", "more"], None),
        (["undecided"], None),
        ([], None),
    ],
)
def test_a_cure_is_judged_by_itself(effects, cures):
    assert loss_curve.cures(effects) is cures


def test_one_cure_of_three_is_not_the_claim_corrected():
    """A schedule alone does not make right what is said of clipping and batch norm."""
    assert decide([True, False, None]) is Verdict.PARTLY
