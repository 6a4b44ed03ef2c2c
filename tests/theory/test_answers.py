"""Every answer is worked out and passes; every check fails when its formula is broken."""

import math
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from hw2exp.theory import attention_rnn, convolution, diagram, gated_rnn, reach
from hw2exp.theory import trained_curves as curves
from hw2exp.theory.answer import Check, Verdict
from hw2exp.theory.answers import attention_rnn as of_attention
from hw2exp.theory.answers import cells, initial_loss, loss_curve, vanishing
from hw2exp.theory.answers import gated_rnn as of_gated
from hw2exp.theory.answers.deviation import deviation, worst
from hw2exp.theory.sheet import PARTS, answer

VERDICTS = {
    "1.1a": Verdict.CORRECTED,
    "1.1b": Verdict.CORRECTED,
    "1.1ci": Verdict.HOLDS,
    "1.1cii": Verdict.CORRECTED,
    "1.1ciii": Verdict.CORRECTED,
    "1.1civ": Verdict.HOLDS,
    "1.2.1a": Verdict.HOLDS,
    "1.2.1b": Verdict.HOLDS,
    "1.2.1c": Verdict.CORRECTED,
    "1.2.2a": Verdict.HOLDS,
    "1.2.2b": Verdict.HOLDS,
    "1.2.2c": Verdict.HOLDS,
    "1.2.2d": Verdict.CORRECTED,
    "1.2.2e": Verdict.FALSE,
    "1.2.2f": Verdict.CORRECTED,
    "1.3d": Verdict.HOLDS,
}
"""Of the parts that mathematics decides."""
MEASURED = {"1.2.1d", "1.3a", "1.3b", "1.3c"}


@pytest.fixture(autouse=True, scope="module")
def small():
    """Fewer and shorter runs, made once: the checks are the same."""
    short = {
        name: replace(setting, steps=60, seeds=2, cures=setting.cures[:1])
        for name, setting in loss_curve.SETTINGS.items()
    }
    untrained = cache(partial(reach.at_initialization, seeds=2))
    loss_curve.arm.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vanishing, "at_initialization", untrained)
        patch.setattr(loss_curve, "SETTINGS", short)
        patch.setattr(initial_loss, "INITIALIZATIONS", 20)
        patch.setattr(initial_loss, "SMALL_FLEET", 20)
        yield
    loss_curve.arm.cache_clear()


@pytest.mark.parametrize("part", PARTS)
def test_every_check_of_every_part_passes(part):
    found = answer(part, None)
    assert [check for check in found.checks if not check.passed] == []
    assert found.checks
    assert sorted(place for of, place, *_ in BREAKS if of == part) == list(range(len(found.checks)))
    assert "".join(letter for letter in found.part if letter not in "() ") == part
    assert all((found.title, found.claim, found.formula, found.because))
    if part in VERDICTS:
        assert found.verdict is VERDICTS[part]


def times_1_001(function):
    def broken(*args, **kwargs):
        return function(*args, **kwargs) * 1.001

    return broken


def longer(function):
    def broken(*args, **kwargs):
        filters, height, width = function(*args, **kwargs)
        return filters, height + 1, width

    return broken


def each_times_1_001(function):
    """Of a result with dictionaries, lists or tuples of tensors."""

    def scaled(value):
        if isinstance(value, dict):
            return {key: scaled(each) for key, each in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(scaled(each) for each in value)
        return value * 1.001

    return lambda *args, **kwargs: scaled(function(*args, **kwargs))


def with_gates(change):
    def breaks(function):
        def broken(*args):
            now = function(*args)
            return replace(now, gate=change(now.gate))

        return broken

    return breaks


def states_times_1_001(function):
    def broken(*args):
        now = function(*args)
        return replace(now, after=now.after * 1.001)

    return broken


def one_weight_more(function):
    def broken(*args):
        now = function(*args)
        return replace(now, weights=torch.cat([now.weights, now.weights[:1]]))

    return broken


def other_first_states(function):
    def broken(*args):
        first, *others = function(*args)
        return [first * 1.001, *others]

    return broken


def two_matrices_exchanged(function):
    exchange = {"W_c": "W_x", "W_x": "W_c", "K_0": "V_0", "V_0": "K_0"}

    def broken(*args):
        drawn = function(*args)
        arrows = [replace(a, matrix=exchange.get(a.matrix, a.matrix)) for a in drawn.arrows]
        return replace(drawn, arrows=arrows)

    return broken


def another_matrix(function):
    def broken(*args):
        drawn = function(*args)
        extra = diagram.Arrow(drawn.result, next(iter(drawn.nodes)), matrix="W_y")
        return replace(drawn, arrows=[*drawn.arrows, extra])

    return broken


def without_the_first(function):
    return lambda *args: function(*args)[1:]


def a_step_late(function):
    return lambda norms, *args, **kwargs: np.roll(function(norms, *args, **kwargs), 1, axis=0)


def a_step_too_early(function):
    return lambda curves, step: function(curves, step - 1)


def other_seeds(function):
    def broken(words, *args, **kwargs):
        found = function(words, *args, **kwargs)
        return replace(found, losses=found.losses[:, ::-1]) if "clip=norm" in words else found

    return broken


def halved(function):
    return lambda *args: function(*args) / 2


def nan_first(function):
    """NaN in the first result only: the worst of all must still be NaN."""
    calls = []

    def broken(*args):
        calls.append(args)
        result = function(*args)
        return result * float("nan") if len(calls) == 1 else result

    return broken


BREAKS = [
    ("1.1a", 0, convolution, "output_shape", longer),
    ("1.1b", 0, convolution, "output_shape", longer),
    ("1.1ci", 0, convolution, "forward", times_1_001),
    ("1.1cii", 0, convolution, "weight_jacobian", times_1_001),
    ("1.1cii", 1, convolution, "weight_jacobian", times_1_001),
    ("1.1ciii", 0, convolution, "input_jacobian", times_1_001),
    ("1.1ciii", 1, convolution, "input_jacobian", times_1_001),
    ("1.1civ", 0, convolution, "weight_gradient", times_1_001),
    ("1.2.1a", 0, of_gated, "figure_1", two_matrices_exchanged),
    ("1.2.1a", 1, of_gated, "figure_1", another_matrix),
    ("1.2.1b", 0, gated_rnn, "step", with_gates(lambda c: c * 1.001)),
    ("1.2.1c", 0, gated_rnn, "backward", each_times_1_001),
    ("1.2.1c", 1, gated_rnn, "state_jacobian", times_1_001),
    ("1.2.1c", 2, gated_rnn, "state_jacobian", times_1_001),
    ("1.2.1c", 3, cells, "SequenceLoss", None),  # see below
    ("1.2.1d", 0, gated_rnn, "state_jacobian", times_1_001),
    ("1.2.1d", 1, vanishing, "spectral_norms", halved),
    ("1.2.2a", 0, of_attention, "figure_2", two_matrices_exchanged),
    ("1.2.2a", 1, of_attention, "figure_2", another_matrix),
    ("1.2.2b", 0, attention_rnn, "step", one_weight_more),
    ("1.2.2c", 0, attention_rnn, "step", states_times_1_001),
    ("1.2.2c", 1, of_attention, "states", other_first_states),
    ("1.2.2d", 0, attention_rnn, "step", states_times_1_001),
    ("1.2.2e", 0, attention_rnn, "state_jacobian", times_1_001),
    ("1.2.2f", 0, attention_rnn, "state_jacobian", times_1_001),
    ("1.2.2f", 1, attention_rnn, "weight_gradients", each_times_1_001),
    ("1.2.2f", 2, cells, "SequenceLoss", None),
    ("1.3a", 0, loss_curve, "find_spikes", without_the_first),
    ("1.3a", 1, loss_curve, "explosions", a_step_late),
    ("1.3b", 0, loss_curve, "recomputed_losses", a_step_too_early),
    ("1.3c", 0, loss_curve, "train_curves", other_seeds),
    ("1.3d", 0, initial_loss, "INITIAL_LOSS", lambda value: value + 1e-5),
    ("1.3d", 1, initial_loss, "INITIAL_ACCURACY", lambda value: value + 1e-5),
    ("1.3d", 2, initial_loss, "CLASSES", lambda value: value + "V"),
]


def test_no_part_is_left_out():
    assert len({(part, place) for part, place, *_ in BREAKS}) == len(BREAKS)
    assert MEASURED | VERDICTS.keys() == PARTS.keys()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("part", "place", "module", "name", "breaks"), BREAKS, ids=[f"{b[0]}-{b[1]}" for b in BREAKS]
)
def test_a_check_fails_when_its_formula_is_broken(part, place, module, name, breaks, monkeypatch):
    if breaks is None:
        break_the_compiled_pass(monkeypatch)
    else:
        monkeypatch.setattr(module, name, breaks(getattr(module, name)))
    found = answer(part, None)
    if name == "train_curves":
        loss_curve.arm.cache_clear()  # of curves of the broken one
    assert not found.checks[place].passed
    assert not found.passed


def break_the_compiled_pass(monkeypatch):
    """What trains, and not the theory."""
    learn = cells.SequenceLoss.forward_backward

    def broken(*args):
        loss, right, gradients = learn(*args)
        return loss, right, gradients * 1.001

    monkeypatch.setattr(cells.SequenceLoss, "forward_backward", broken)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("part", "place", "name"),
    [("1.2.1c", 1, "state_jacobian"), ("1.2.1d", 0, "state_jacobian")],
)
def test_nan_in_the_first_of_many_comparisons_fails(part, place, name, monkeypatch):
    monkeypatch.setattr(gated_rnn, name, nan_first(getattr(gated_rnn, name)))
    assert not answer(part, None).checks[place].passed


def test_the_worst_of_nothing_or_of_nan_is_nan():
    assert worst([1.0, 3.0, 2.0]) == 3
    for values in ([], [math.nan, 1.0], [1.0, math.nan]):
        assert math.isnan(worst(values))
    one, nan = torch.ones(1), torch.tensor([math.nan])
    for pairs in ([], [(nan, one), (one, one)], [(one, one), (nan, one)], [(one, torch.ones(2))]):
        assert math.isnan(deviation(pairs))


def test_a_check_without_a_number_fails():
    assert not Check("NaN", float("nan")).passed
    assert not Check("more", 1e-9).passed
    assert Check("less", 1e-11).passed


def test_curves_are_kept_for_the_parts_that_share_them():
    assert loss_curve.arm("rnn") is loss_curve.arm("rnn")
    assert isinstance(loss_curve.arm("rnn"), curves.TrainedCurves)
