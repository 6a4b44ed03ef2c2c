"""Part 1.3 (a) to (c): why the loss curve has spikes, and what cures them; a first look.

Small networks are trained on the spot: one optimizer, one learning rate, a few seeds.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np

from hw2exp.diagnostics.explosions import FACTOR, explosions
from hw2exp.diagnostics.spikes import find_spikes
from hw2exp.theory.answer import Answer, Check, Verdict
from hw2exp.theory.curves import Curves, recomputed_losses, train_curves
from hw2exp.theory.spike_causes import BEFORE, paired_pvalue, preceded, thrown

SEEDS = 16
STEPS = {"attn_rnn": 1_000, "rnn": 600}
SETTING = "task=normal", "optimizer=rmsprop", "clip=none", "norm=none", "schedule=constant"
TOLD = f"NORMAL, RMSprop, learning rate 0.001, {SEEDS} seeds; steps: " + ", ".join(
    f"{model} {steps:,}" for model, steps in STEPS.items()
)
CURES = {
    "attn_rnn": ("clip=norm", "schedule=cosine"),  # batch norm of it takes over a minute
    "rnn": ("clip=norm", "norm=batch", "schedule=cosine"),
}
SIGNIFICANT = 0.05
LOWER = 3.0
"""A second height of an explosion, to see how much the first one decides."""


def a() -> Answer:
    """Do exploding gradients come before spikes?"""
    numbers, stands, caused = [TOLD], {}, {}
    for model in CURES:
        found = preceded(arm(model))
        p = found.pvalue()
        caused[model] = p < SIGNIFICANT
        stands[model] = p < SIGNIFICANT and found.share > 0.5
        lower = preceded(arm(model), LOWER)
        numbers += [
            f"{model}: of {found.spikes.sum():.0f} spikes {found.share:.0%} begin at most {BEFORE} "
            f"steps after an explosion; of all steps {found.base.mean():.0%} do (p = {p:.1g}). "
            f"With {LOWER:g} times for {FACTOR:g}: {lower.share:.0%} and {lower.base.mean():.0%}",
            f"{model}: of the explosions {found.followed:.0%} come as soon before a spike",
        ]
    return Answer(
        "1.3 (a)",
        "What makes the spikes of the loss curve?",
        "exploding gradients",
        "spike: the loss leaves its running median by 0.3, or by six robust standard deviations; "
        f"explosion: the gradient's norm exceeds {FACTOR:g} times its running median",
        [
            Check("spikes planted in a made curve, missed or invented", planted_spikes(), 0),
            Check("explosions planted in a made curve, missed or invented", planted_norms(), 0),
        ],
        verdict(stands),
        f"spikes come after explosions more than by chance: {described(caused)}; most of them do: "
        + described(stands),
        numbers,
    )


def b() -> Answer:
    """Are the parameters thrown farther from the best than they began?"""
    numbers, stands, error = [TOLD], {}, 0.0
    for model in CURES:
        middle = STEPS[model] // 2
        curves, found = arm(model), thrown(arm(model))
        stands[model] = found.farther > found.above / 2
        distance = f"{np.median(found.ratio):.2f}" if found.above else "none"
        numbers.append(
            f"{model}: {found.above} of {found.spikes} spikes exceed the initial loss; in "
            f"{found.farther} of these {found.above} the parameters are farther from the best "
            f"than at the start (median of the distance over that at the start {distance})"
        )
        difference = np.abs(recomputed_losses(curves, middle) - curves.losses[middle - 1])
        error = max(error, float(np.nanmax(difference)))
    return Answer(
        "1.3 (b)",
        "Why does the loss exceed its initial value?",
        "the parameters move farther from the optimal values than the initial ones",
        "to compare: ‖θ(peak) − θ*‖ and ‖θ(0) − θ*‖, θ* amid the run's 51 best steps by the "
        "running median",
        [Check("a step's losses, from the kept parameters by autograd", error, 1e-4)],
        verdict(stands),
        "at most peaks above the initial loss the parameters are farther off than at the start: "
        + described(stands)
        + ("" if any(stands.values()) else "; so it is steep there, not far"),
        numbers,
    )


def c() -> Answer:
    """Does each cure take spikes away?"""
    from scipy.stats import false_discovery_control

    names, differences, ends, numbers, same = [], [], [], [TOLD], 0.0
    for model, cures in CURES.items():
        plain = arm(model)
        rate = 1_000 / STEPS[model]
        for cure in cures:
            cured = arm(model, cure)
            names.append(f"{model} {cure}")
            differences.append(rate * (cured.spike_counts() - plain.spike_counts()))
            ends.append(f"loss at the end {cured.last_loss():.2g}, without {plain.last_loss():.2g}")
            if cure != "norm=batch":  # which normalizes from the first step on
                same = max(same, float(np.abs(cured.losses[0] - plain.losses[0]).max()))
    adjusted = false_discovery_control([paired_pvalue(each) for each in differences])
    stands = {}
    for name, each, p, end in zip(names, differences, adjusted, ends, strict=True):
        significant = p < SIGNIFICANT
        stands[name] = bool(significant and each.mean() < 0)
        word = ("fewer" if each.mean() < 0 else "more") if significant else "undecided"
        numbers.append(
            f"{name}: {each.mean():+.1f} spikes per 1,000 steps (p = {p:.2g}), {word}; {end}"
        )
    return Answer(
        "1.3 (c)",
        "What cures the spikes?",
        "clipping the gradient, batch normalization, a learning-rate schedule",
        "to compare: spikes per 1,000 steps of the same seeds with a cure and without; p adjusted "
        "for their number (Benjamini & Hochberg)",
        [Check("first losses with a cure and without, same seeds", same, 0)],
        verdict(stands),
        "takes spikes away: "
        + described(stands)
        + "; a first look, at one optimizer and learning rate",
        numbers,
    )


@cache
def arm(model: str, cure: str = "") -> Curves:
    """The runs of a model, with a cure or none.

    Args:
        model: its name.
        cure: an override.
    """
    group = cure.partition("=")[0]
    setting = [word for word in SETTING if word.partition("=")[0] != group]
    words = [f"model={model}", *setting, f"steps={STEPS[model]}", f"eval_every={STEPS[model]}"]
    return train_curves([*words, *([cure] if cure else [])], SEEDS, keep_params=not cure)


def verdict(stands: Mapping[str, bool]) -> Verdict:
    """Decide about a claim that was looked at in several settings.

    Args:
        stands: whether it was found, by setting.
    """
    if all(stands.values()):
        return Verdict.HOLDS
    return Verdict.CORRECTED if any(stands.values()) else Verdict.FALSE


def described(stands: Mapping[str, bool]) -> str:
    """Say where it was found and where not.

    Args:
        stands: whether it was found, by setting.
    """
    return ", ".join(f"{name} {'yes' if found else 'no'}" for name, found in stands.items())


def planted_spikes() -> int:
    """How many spikes of a made curve, noisy and falling, are missed or invented."""
    noise = np.random.default_rng(7).standard_normal(1_000)
    curve = 1.4 * np.exp(-np.arange(1_000) / 300) + 0.03 * noise
    planted = {200, 500, 501, 700, 900}  # 500 and 501 are one
    curve[[step - 1 for step in planted]] += 1.0
    found = {spike.start for spike in find_spikes(curve, 51, 0.3, 6, 1.4)}
    return len(found ^ (planted - {501}))


def planted_norms() -> int:
    """How many explosions of made gradient norms are missed or invented."""
    norms = np.exp(0.3 * np.random.default_rng(8).standard_normal((1_000, 2)))
    planted = {(100, 0), (400, 1), (401, 1), (900, 0)}
    for place in planted:
        norms[place] *= 100
    found = {(int(step), int(run)) for step, run in np.argwhere(explosions(norms))}
    return len(found ^ planted)
