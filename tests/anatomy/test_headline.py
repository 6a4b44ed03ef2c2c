"""The first sentence of an anatomy goes by what was measured."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hw2exp.anatomy.blame import Suspect
from hw2exp.anatomy.dissection import Dissection
from hw2exp.anatomy.headline import headline
from hw2exp.anatomy.page import _rows
from hw2exp.anatomy.surroundings import Along
from hw2exp.records.spike import Spike

STEPS = [11, 12, 13, 14, 15, 16]
SHARE = np.linspace(-1, 3, 61)
WENT = "the loss went from 1 to 5"
CALM = "The gradient has not exploded (2 times its usual size; more than 10 would count): "
LONGER = "a step of 3 times the usual length went over a cliff"


def cliff(share):
    return np.where(share > 0.5, 4.0, 1.0)


def line(share):
    return 1.0 + share


def parabola(share):
    return 1.0 + share * abs(share)


def falling(share):
    return 1.0 - share / 9


def ending(share):
    return np.where(share > 0.9, math.nan, 1.0)


def made(gradient=2.0, update=3.0, rate=0.5, own=cliff, **changes):
    """A spike from 1 to 5 by step 14, whose gradient and update follow three others of 1."""
    before = [1.0, 1.0, 1.0]
    raw, updates = (np.array([*before, each, 1.0, 1.0]) for each in (gradient, update))
    loss = own(SHARE)
    unused = dict.fromkeys(Dissection.__dataclass_fields__)
    known = {
        "spike": Spike(15, 15, 15, loss=5.0, median=1.0, above_initial=False),
        "steps": STEPS, "culprit": 3, "thrown": True, "raw": raw, "clipped": raw,
        "updates": updates, "fresh_loss": np.array([1.0, 1.0, 1.0, 1.0, 5.0, 5.0]),
        "along": Along(SHARE, loss, loss), "sharp": SimpleNamespace(instability=[rate] * 6),
    }  # fmt: skip
    return Dissection(**unused | known | changes)


NORMS, CLIFF, ALONG = "Norms of the gradient and of the update", "The cliff", "Loss along the step"
SHARP, LOSS = "Sharpness, in units of what the optimizer can stand", "Loss before each step"
JUMPED = "and the step it made jumped over a cliff"
TOO_HIGH = "times what the curvature there allows, the step"
BEYOND = {
    "spike": Spike(16, 15, 16, math.nan, 1, True),
    "fresh_loss": np.array([1, 1, 1, 1, 5, math.nan]),
}
CASES = [
    ({"gradient": 60}, f"The gradient was 60 times its usual size, {JUMPED}: {WENT}.", CLIFF),
    (
        {"gradient": 128_289},
        f"The gradient was 130,000 times its usual size, {JUMPED}: {WENT}.",
        CLIFF,
    ),
    ({"gradient": 10.6}, f"The gradient was 11 times its usual size, {JUMPED}: {WENT}.", CLIFF),
    (
        {"gradient": 60, "own": line},
        f"The gradient was 60 times its usual size, and with the step it made {WENT}.",
        NORMS,
    ),
    (
        {"gradient": 10},  # FACTOR itself is no explosion
        f"{CALM.replace('(2', '(10')}{LONGER}, and {WENT}.",
        CLIFF,
    ),
    (
        {"gradient": math.inf, "own": line},
        f"The gradient exploded beyond all finite numbers, and {WENT}.",
        NORMS,
    ),
    (
        {"gradient": 60, "own": line, "clipped": np.ones(6)},
        f"The gradient was 60 times its usual size; it was clipped to 1, and yet {WENT}.",
        NORMS,
    ),
    (
        {"update": 10.6},
        f"{CALM}but the optimizer made a step 11 times as long as usual of it, and {WENT}.",
        NORMS,
    ),
    (
        {"update": math.inf},
        f"{CALM}but the optimizer made an infinitely long step of it, and {WENT}.",
        NORMS,
    ),
    ({"update": 10}, f"{CALM}{LONGER.replace('3', '10')}, and {WENT}.", CLIFF),
    (
        {"rate": 1.25, "own": line},
        f"{CALM}the learning rate was 1.2 {TOO_HIGH} overshot, and {WENT}.",
        SHARP,
    ),
    (
        {"rate": 30},
        f"{CALM}the learning rate was 30 {TOO_HIGH} went over a cliff, and {WENT}.",
        SHARP,
    ),
    (
        {"rate": 3.0, "clipped": np.ones(6)},  # half of the gradient: half of the learning rate
        f"{CALM}the learning rate was 1.5 {TOO_HIGH} went over a cliff, and {WENT}.",
        SHARP,
    ),
    ({"rate": 2.0, "clipped": np.ones(6)}, f"{CALM}{LONGER}, and {WENT}.", CLIFF),
    ({"rate": 1.0}, f"{CALM}{LONGER}, and {WENT}.", CLIFF),
    ({"rate": math.nan}, f"{CALM}{LONGER}, and {WENT}.", CLIFF),
    ({"own": ending}, f"{CALM}{LONGER}, and {WENT}.", CLIFF),
    (
        {"fresh_loss": np.array([1, 1, 1, 1, math.nan, math.nan])},
        f"{CALM}{LONGER}, and the loss went from 1 to no finite number.",
        CLIFF,
    ),
    (
        {"own": falling},
        f"{CALM}the step helped its own batch and harmed all others: {WENT}.",
        ALONG,
    ),
    (
        {"own": parabola},
        f"{CALM}the step was too long for how curved the loss is here, and {WENT}.",
        ALONG,
    ),
    (
        {"fresh_loss": np.array([1, 1.5, 2, 2.9, 4.8, 5]), "spike": Spike(16, 15, 16, 5, 1, False)},
        f"{CALM}no single step did it, and {WENT} over several steps.",
        LOSS,
    ),
    (
        {"fresh_loss": np.array([1, 1, 1, 1, 3, 5]), "spike": Spike(16, 15, 16, 5, 1, False)},
        f"{CALM}{LONGER}, and the loss went from 1 to 3.",  # half of the rise is enough
        CLIFF,
    ),
    (
        BEYOND | {"raw": np.array([1, 1, 1, 2, 300, 1])},
        "The gradient exploded: step 14 went over a cliff, the gradient beyond it was 300 times "
        "its usual size, and with the step that this gradient made, the loss, usually 1, was no "
        "longer a finite number.",
        NORMS,
    ),
    (
        BEYOND | {"raw": np.array([1, 1, 1, 2, math.nan, 1]), "own": line},
        "The gradient exploded: step 14 raised the loss, the gradient beyond it was infinite, and "
        "with the step that this gradient made, the loss, usually 1, was no longer a finite "
        "number.",
        NORMS,
    ),
    (
        BEYOND | {"raw": np.array([1, 1, 1, 2, 10, 900])},  # the peak's own comes too late
        f"{CALM}no single step did it, and the loss went from 1 to no finite number over several "
        "steps.",
        LOSS,
    ),
    (
        {"culprit": 0, "fresh_loss": np.array([1.0, 5, 5, 5, 5, 5])},
        f"Step 11 came too early to say which gradient is usual: {WENT}.",
        ALONG,
    ),
    (
        {"thrown": False, "diverged_at": 15},
        "The loss was not high: a number of the gradient or of the step became too large for the "
        "computer at step 15, and the run ended.",
        NORMS,
    ),
]
"""What was measured, the sentence, and the panel to look at."""


@pytest.mark.parametrize(("measured", "sentence", "panel"), CASES)
def test_the_first_sentence_goes_by_what_was_measured(measured, sentence, panel):
    assert headline(made(**measured)) == (sentence, f"Look first at the panel “{panel}”.")


@pytest.mark.parametrize(
    ("measured", "begin"),
    [
        ({}, "The gradient before it has not exploded (2 times its usual size)"),
        ({"gradient": 60}, "The gradient before it was 60 times its usual size"),
        ({"gradient": math.inf}, "The gradient was not finite"),
        ({"culprit": 0}, "It came early"),
    ],
)
def test_a_hard_batch_is_told_from_a_thrown_network(measured, begin):
    hard = made(thrown=False, fresh_loss=np.full(6, 1.25), **measured)
    assert headline(hard) == (
        f"{begin}, but the batch itself was hard: with the same parameters, the loss of other "
        "sequences is 1.25, where the usual loss is 1.",
        f"Look first at the panel “{LOSS}”.",
    )


def test_a_number_that_is_not_finite_is_a_dash():
    _, row = _rows("there", [Suspect("BXYE → R", loss=math.nan, gradient=math.inf)])
    assert row.split() == ["–", "–", "BXYE", "→", "R"]
