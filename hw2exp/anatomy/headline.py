"""Write one plain sentence on why a spike happened, and name the panel to look at first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw2exp.anatomy.blame import HALF
from hw2exp.anatomy.dissection import Dissection
from hw2exp.anatomy.words import ALONG, CLIFF, LOSS, NORMS, SHARPNESS
from hw2exp.diagnostics.explosions import FACTOR
from hw2exp.records.figure_style import short

STEEP = 3
"""A cliff makes half of its rise or more within this many points of ``Along``, a fifth of the step.

A parabola needs 0.29 of the step for half of its rise, a straight line 0.5.
"""

CUT = 0.99
"""A gradient counts as clipped if clipping leaves less than this share of its norm."""


@dataclass(frozen=True)
class Rule:
    """A sentence of the headline, and the condition for it.

    Args:
        name: the rule's name.
        when: the function that returns whether the rule applies.
        says: the function that writes the sentence.
        look: the title of the panel to look at first.
    """

    name: str
    when: Callable[[Dissection], bool]
    says: Callable[[Dissection], str]
    look: str


def headline(seen: Dissection) -> tuple[str, str]:
    """Return the sentence of the first rule that applies, and a sentence on where to look first."""
    rule = next(rule for rule in RULES if rule.when(seen))
    return rule.says(seen), f"Look first at the panel “{rule.look}”."


def _exploded(seen: Dissection) -> bool:
    return bool(seen.gradient_times > FACTOR or not np.isfinite(seen.raw[seen.culprit]))


def _overflowed(seen: Dissection) -> bool:
    """Return whether the run diverged by its gradient or its step, while the loss was finite."""
    return not seen.thrown and seen.spike.step == seen.diverged_at and np.isfinite(seen.spike.loss)


def _falls_off(seen: Dissection) -> bool:
    """Return whether the loss of the step's own batch rises steeply somewhere along the step."""
    share, loss = seen.along.share, seen.along.own
    taken = loss[(share > -1e-4) & (share < 1 + 1e-4)]
    if not np.isfinite(taken).all():
        return bool(np.isfinite(taken[0]))
    rise = taken[-1] - taken[0]
    return bool(rise > 0 and (taken[STEEP:] - taken[:-STEEP]).max() >= HALF * rise)


def _suits_its_batch(seen: Dissection) -> bool:
    before, after = (seen.along.own[np.argmin(abs(seen.along.share - end))] for end in (0, 1))
    return bool(after < before)


def _rate(seen: Dissection) -> float:
    """Return the learning rate, as clipping reduces it, relative to what the curvature allows."""
    place = seen.culprit
    clipped = seen.clipped[place] / seen.raw[place] if seen.raw[place] > 0 else 1.0
    return float(seen.sharp.instability[place] * clipped)


def _hard(seen: Dissection) -> str:
    size = _size(seen)
    gradient = f"The gradient before it has not exploded ({size})" if size else "It came early"
    if _exploded(seen):
        gradient = f"The gradient before it was {size}" if size else "The gradient was not finite"
    others, usual = short(seen.fresh_loss[seen.peak]), short(seen.spike.median)
    return (
        f"{gradient}, but the batch itself was hard: with the same parameters, the loss of other "
        f"sequences is {others}, where the usual loss is {usual}."
    )


def _explosion(seen: Dissection) -> str:
    if not np.isfinite(seen.raw[seen.culprit]):
        return f"The gradient exploded beyond all finite numbers, and {_went(seen)}."
    if seen.clipped[seen.culprit] < CUT * seen.raw[seen.culprit]:
        cut = short(seen.clipped[seen.culprit])
        return f"The gradient was {_size(seen)}; it was clipped to {cut}, and yet {_went(seen)}."
    if _falls_off(seen) and seen.at_once:
        return (
            f"The gradient was {_size(seen)}, and the step it made jumped over a cliff: "
            f"{_went(seen)}."
        )
    return f"The gradient was {_size(seen)}, and with the step it made {_went(seen)}."


def _later(seen: Dissection) -> float:
    """Return the largest gradient between the culprit and the peak, in units of its usual size."""
    between = seen.raw[seen.culprit + 1 : seen.peak]
    usual = seen.raw[seen.culprit] / seen.gradient_times
    return float(np.nan_to_num(between, nan=np.inf).max(initial=0.0) / usual)


def _chain(seen: Dissection) -> str:
    over = "went over a cliff" if _falls_off(seen) else "raised the loss"
    times, high = _later(seen), seen.fresh_loss[seen.peak]
    beyond = f"was {_number(times)} times its usual size" if np.isfinite(times) else "was infinite"
    return (
        f"The gradient exploded: step {seen.steps[seen.culprit]:,} {over}, the gradient beyond it "
        f"{beyond}, and with the step that this gradient made, the loss, usually "
        f"{short(seen.spike.median)}, {_became(high)}."
    )


def _calm(what: Callable[[Dissection], str]) -> Callable[[Dissection], str]:
    """Return a function that writes that the gradient has not exploded, then the other's text."""
    least = f"more than {FACTOR:g} would count"
    return lambda seen: f"The gradient has not exploded ({_size(seen)}; {least}): {what(seen)}."


def _sharp(seen: Dissection) -> str:
    over = "went over a cliff" if _falls_off(seen) else "overshot"
    return (
        f"the learning rate was {_number(_rate(seen))} times what the curvature there allows, the "
        f"step {over}, and {_went(seen)}"
    )


def _long(seen: Dissection) -> str:
    times = seen.update_times
    long = f"a step {_number(times)} times as long as usual"
    made = long if np.isfinite(times) else "an infinitely long step"
    return f"but the optimizer made {made} of it, and {_went(seen)}"


def _cliff(seen: Dissection) -> str:
    times = seen.update_times
    step = "a step" if np.isnan(times) else f"a step of {_number(times)} times the usual length"
    return f"{step} went over a cliff, and {_went(seen)}"


def _size(seen: Dissection) -> str:
    """Write the culprit's gradient norm relative to its usual size; empty if that is unknown."""
    times = seen.gradient_times
    return f"{_number(times)} times its usual size" if np.isfinite(times) else ""


def _went(seen: Dissection) -> str:
    """Write how far the loss of other sequences went: in the culprit's step, or up to the peak."""
    if seen.at_once:
        before, after = seen.fresh_loss[seen.culprit], seen.fresh_loss[seen.after]
    else:
        before, after = seen.spike.median, seen.fresh_loss[seen.peak]
    return f"the loss went from {short(before)} to {_finite(after)}"


def _finite(loss: float) -> str:
    return short(loss) if np.isfinite(loss) else "no finite number"


def _became(loss: float) -> str:
    return f"became {short(loss)}" if np.isfinite(loss) else "was no longer a finite number"


def _number(value: float) -> str:
    """Write a factor in two digits."""
    return f"{float(f'{value:.2g}'):,.0f}" if 10 <= value < 1e6 else f"{value:.2g}"


RULES = (
    Rule(
        "overflow",
        _overflowed,
        lambda seen: (
            "The loss was not high: a number of the gradient or of the step became too large for "
            f"the computer at step {seen.spike.step:,}, and the run ended."
        ),
        NORMS,
    ),
    Rule("hard batch", lambda seen: not seen.thrown, _hard, LOSS),
    Rule(
        "too early",
        lambda seen: not _exploded(seen) and not _size(seen),
        lambda seen: (
            f"Step {seen.steps[seen.culprit]:,} came too early to say which gradient is usual: "
            f"{_went(seen)}."
        ),
        ALONG,
    ),
    Rule("explosion over a cliff", lambda s: _exploded(s) and _falls_off(s), _explosion, CLIFF),
    Rule("explosion", _exploded, _explosion, NORMS),
    Rule("explosion beyond a step", lambda seen: _later(seen) > FACTOR, _chain, NORMS),
    Rule("long step", lambda seen: seen.update_times > FACTOR, _calm(_long), NORMS),
    Rule("learning rate too high", lambda seen: _rate(seen) > 1, _calm(_sharp), SHARPNESS),
    Rule(
        "slow rise",
        lambda seen: not seen.at_once,
        _calm(lambda seen: f"no single step did it, and {_went(seen)} over several steps"),
        LOSS,
    ),
    Rule("cliff", _falls_off, _calm(_cliff), CLIFF),
    Rule(
        "own batch",
        _suits_its_batch,
        _calm(lambda seen: f"the step helped its own batch and harmed all others: {_went(seen)}"),
        ALONG,
    ),
    Rule(
        "too long",
        lambda _: True,
        _calm(
            lambda seen: f"the step was too long for how curved the loss is here, and {_went(seen)}"
        ),
        ALONG,
    ),
)
"""The rules, in the order in which they are tried. Each sentence holds the measured numbers."""
