"""Answer part 1.3 (a) to (c): why the loss curve has spikes, and what cures them; a first look.

Small networks are trained on the spot: one optimizer, one learning rate, a few seeds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from hw2exp.diagnostics.explosions import BEFORE, FACTOR
from hw2exp.diagnostics.paired_tests import SIGNIFICANT, adjusted, paired_pvalues
from hw2exp.theory.answer import Answer, Check, decide
from hw2exp.theory.answers.deviation import worst
from hw2exp.theory.planted import planted_norms, planted_spikes
from hw2exp.theory.spike_causes import causes, thrown
from hw2exp.theory.trained_curves import TrainedCurves, recomputed_losses, train_curves


@dataclass(frozen=True)
class Setting:
    """A network, its task and the cures to try.

    Args:
        model: the overrides of the model.
        task: the name of the task.
        steps: the number of training steps.
        seeds: the number of runs.
        cures: the cures to try, each an override.
    """

    model: tuple[str, ...]
    task: str
    steps: int
    seeds: int
    cures: tuple[str, ...] = ()


SETTINGS = {
    "lstm": Setting(("model=lstm", "model.hidden_size=12"), "moderate", 1_500, 8),
    # No batch norm: it would take over a minute.
    "attn_rnn": Setting(("model=attn_rnn",), "normal", 1_000, 12, ("clip=norm",)),
    "rnn": Setting(
        ("model=rnn",), "normal", 2_000, 16, ("clip=norm", "norm=batch", "schedule=cosine")
    ),
}
"""The course's network with spikes, and two that show spikes sooner."""
PLAIN = "optimizer=rmsprop", "clip=none", "norm=none", "schedule=constant"
SETTINGS_LINE = "RMSprop, learning rate 0.001; " + "; ".join(
    f"{name} on {each.task.upper()}, {each.seeds} seeds × {each.steps:,} steps"
    for name, each in SETTINGS.items()
)
NEVER = "clip=norm", "clip.max_norm=1e9"
"""Overrides of a cure that never acts."""
FIRST_LOOK = ". A first look, at one optimizer and rate; hw2exp.whatif tries cures on spikes"
LOWER = 3.0
"""A second threshold of explosions, to test how much the verdict depends on the first."""

Stands = dict[str, bool | None]


def a() -> Answer:
    """Answer (a): do exploding gradients come before spikes?"""
    numbers, reasons = [SETTINGS_LINE], []
    stands: Stands = {}
    for name in SETTINGS:
        found, lower = causes(arm(name)), causes(arm(name), LOWER)
        spikes, p = int(found.spikes.sum()), found.pvalue()
        most = [each.share > 0.5 for each in (found, lower)]
        clear = p < SIGNIFICANT and most[0] == most[1]
        stands[name] = most[0] if clear else None
        reasons.append(
            f"{name} {_percent(found.share)} of {spikes} "
            f"({_percent(lower.share)} if an explosion is {LOWER:g} times the median), "
            f"{'more' if p < SIGNIFICANT else 'not shown to be more'} than chance"
        )
        numbers.append(
            f"{name}: {found.after.sum():.0f} of {spikes} spikes begin at most {BEFORE} steps "
            f"after an explosion, and {_percent(found.base.mean())} of all steps (p = {p:.1g}, by "
            f"turning the signs of the runs' differences); {_percent(found.followed)} of the "
            "explosions come as soon before a spike"
        )
    return Answer(
        "1.3 (a)",
        "What makes the spikes of the loss curve?",
        "exploding gradients",
        "how many spikes begin after an explosion. Spike: the loss exceeds its running median by "
        "0.3 and by six robust standard deviations. Explosion: the gradient's norm exceeds "
        f"{FACTOR:g} times its running median",
        [
            Check("spikes planted in a made curve, missed or invented", planted_spikes(), 0),
            Check("explosions planted in a made curve, missed or invented", planted_norms(), 0),
        ],
        decide(stands.values()),
        "spikes after an explosion: " + "; ".join(reasons) + FIRST_LOOK,
        numbers,
        measured=True,
    )


def b() -> Answer:
    """Answer (b): are the parameters thrown farther from the optimum than at the start?"""
    numbers, reasons, differences = [SETTINGS_LINE], [], []
    stands: Stands = {}
    for name, setting in SETTINGS.items():
        middle, curves = setting.steps // 2, arm(name)
        own, other = thrown(curves), thrown(curves, of_another=True)
        most = [each.farther > each.above / 2 for each in (own, other)]
        clear = own.above > 0 and other.above > 0 and most[0] == most[1]
        stands[name] = most[0] if clear else None
        spikes = sum(len(curves.spikes(run)) for run in range(setting.seeds))
        reasons.append(f"{name} {own.farther} and {other.farther} of {own.above} peaks")
        numbers += [
            f"{name}: {own.above} of {spikes} spikes exceed the initial loss",
            *(
                f"{name}: from {whose} best, farther than at the start at {each.farther} of "
                f"{each.above} peaks and at {_percent(each.anywhere)} of all steps; the peaks' "
                f"distance is {each.ratio:.2f} times the start's (median)"
                for whose, each in (("the run's own", own), ("another run's", other))
            ),
        ]
        again, known = recomputed_losses(curves, middle), curves.losses[middle - 1]
        alive = np.isfinite(known)
        differences += [*np.abs(again - known)[alive].tolist()]
    return Answer(
        "1.3 (b)",
        "Why does the loss exceed its initial value?",
        "the gradient is extremely large, so the parameters move farther away from the optimal "
        "values than the initial ones, so the loss is also higher than the initial one",
        "‖θ(peak) − θ*‖ against ‖θ(0) − θ*‖; nobody knows θ*, so twice: amid the run's own 51 best "
        "steps by the running median of the loss, and amid those of the run that gets lowest",
        [Check("a step's losses, from the kept parameters by autograd", worst(differences), 1e-4)],
        decide(stands.values()),
        "farther off than at the start, seen from the run's own best and from another's: "
        + "; ".join(reasons)
        + FIRST_LOOK,
        numbers,
        measured=True,
    )


def c() -> Answer:
    """Answer (c): does each cure take spikes away?"""
    pairs = [(name, cure) for name, setting in SETTINGS.items() for cure in setting.cures]
    ends = [(arm(name, cure), arm(name)) for name, cure in pairs]
    differences = [cured.spikes_per_1000() - plain.spikes_per_1000() for cured, plain in ends]
    pvalues = adjusted(paired_pvalues(differences))
    effects: dict[str, dict[str, str]] = {}
    numbers = [SETTINGS_LINE]
    for (name, cure), each, p, (cured, plain) in zip(
        pairs, differences, pvalues, ends, strict=True
    ):
        found = effect(each.mean(), p, cured.diverged() - plain.diverged())
        effects.setdefault(cure, {})[name] = found
        change = f"{each.mean():+.1f}".replace("-", "−")
        numbers.append(
            f"{name} {cure}: {change} spikes per 1,000 steps (p = {p:.2g}), {found}; training "
            f"loss of the last 50 steps {cured.last_loss():.2g}, without {plain.last_loss():.2g}; "
            f"diverged {cured.diverged()}, without {plain.diverged()}"
        )
    reasons = [
        f"{cure} {', '.join(f'{found} in {name}' for name, found in own.items())}"
        for cure, own in effects.items()
    ]
    return Answer(
        "1.3 (c)",
        "What cures the spikes?",
        "clipping the gradient, batch normalization, a learning-rate schedule",
        "spikes per 1,000 steps of the same seeds with a cure less those without; p by turning "
        "signs, adjusted for the number of comparisons (Benjamini & Hochberg)",
        [Check("losses with a cure that never acts and without any, 60 steps", idle_cure(), 0)],
        decide(cures(own.values()) for own in effects.values()),
        f"each cure by itself, spikes with it: {'; '.join(reasons)}{FIRST_LOOK}",
        numbers,
        measured=True,
    )


def cures(effects: Iterable[str]) -> bool | None:
    """Return whether a cure's effects all take spikes away; None if they differ or are unknown.

    Args:
        effects: the effect in each setting, see :func:`effect`; "undecided" is unknown.
    """
    known = set(effects) - {"undecided"}
    return known == {"fewer"} if len(known) == 1 else None


def effect(change: float, pvalue: float, more_diverged: int) -> str:
    """Name a cure's effect on spikes: "fewer", "more", "undecided", or "diverges".

    Args:
        change: the change in spikes per 1,000 steps.
        pvalue: the p-value of no change.
        more_diverged: the number of runs that diverge with the cure, minus the number without it;
            if it is positive, spikes can't be compared.
    """
    if more_diverged > 0:
        return "diverges"
    if pvalue >= SIGNIFICANT:
        return "undecided"
    return "fewer" if change < 0 else "more"


@cache
def arm(name: str, cure: str = "") -> TrainedCurves:
    """Train the runs of a setting.

    Args:
        name: the setting's name.
        cure: the cure as an override; empty for none.
    """
    setting = SETTINGS[name]
    return train_curves(_words(setting, setting.steps, cure), setting.seeds, keep_params=not cure)


def _words(setting: Setting, steps: int, *cure: str) -> list[str]:
    groups = {word.partition("=")[0] for word in cure}
    plain = [word for word in PLAIN if word.partition("=")[0] not in groups]
    most = [f"steps={steps}", f"eval_every={steps}", *(word for word in cure if word)]
    return [*setting.model, f"task={setting.task}", *plain, *most]


def idle_cure() -> float:
    """Return the largest difference between losses with a cure that never acts and without one."""
    setting = SETTINGS["rnn"]
    one, other = (train_curves(_words(setting, 60, *cure), 2).losses for cure in ((), NEVER))
    return worst(np.abs(one - other).ravel().tolist())


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
