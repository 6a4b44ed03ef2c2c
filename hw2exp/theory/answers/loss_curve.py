"""Part 1.3 (a) to (c): why the loss curve has spikes, and what cures them; a first look.

Small networks are trained on the spot: one optimizer, one learning rate, a few seeds.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np

from hw2exp.diagnostics.explosions import FACTOR, explosions
from hw2exp.diagnostics.spikes import find_spikes
from hw2exp.statistics import adjusted, paired_pvalue
from hw2exp.theory.answer import Answer, Check, Verdict
from hw2exp.theory.curves import Curves, recomputed_losses, train_curves
from hw2exp.theory.spike_causes import BEFORE, preceded, thrown

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
FIRST_LOOK = ". A first look, at one optimizer and rate"
LOWER = 3.0
"""A second height of an explosion, to see how much the first one decides."""


def a() -> Answer:
    """Do exploding gradients come before spikes?"""
    numbers, stands, told = [TOLD], {}, []
    for model in CURES:
        found, lower = preceded(arm(model)), preceded(arm(model), LOWER)
        p = found.pvalue()
        chance, most = p < SIGNIFICANT, found.share > 0.5
        stands[model] = chance and most
        told.append(
            f"{model} {found.after.sum():.0f} of {found.spikes.sum():.0f}, "
            f"{'' if chance else 'not '}more than by chance"
            + (f" {'and' if most else 'but not'} most" if chance else "")
        )
        numbers += [
            f"{model}: {_percent(found.share)} of {found.spikes.sum():.0f} spikes begin at most "
            f"{BEFORE} steps after an explosion, {_percent(found.base.mean())} of all steps lie "
            f"there (p = {p:.1g}, by turning the signs of the runs' differences)",
            f"{model}: counting norms above {LOWER:g} times the median instead of {FACTOR:g}, "
            f"{_percent(lower.share)} of the spikes and {_percent(lower.base.mean())} of all steps",
            f"{model}: {_percent(found.followed)} of the explosions come at most {BEFORE} steps "
            "before a spike",
        ]
    return Answer(
        "1.3 (a)",
        "What makes the spikes of the loss curve?",
        "exploding gradients",
        "how many spikes begin after an explosion. Spike: the loss leaves its running median by "
        "0.3, or by six robust standard deviations. Explosion: the gradient's norm exceeds "
        f"{FACTOR:g} times its running median",
        [
            Check("spikes planted in a made curve, missed or invented", planted_spikes(), 0),
            Check("explosions planted in a made curve, missed or invented", planted_norms(), 0),
        ],
        verdict(stands),
        "spikes after an explosion: " + "; ".join(told) + FIRST_LOOK,
        numbers,
        measured=True,
    )


def b() -> Answer:
    """Are the parameters thrown farther from the best than they began?"""
    numbers, stands, told, error = [TOLD], {}, [], 0.0
    for model in CURES:
        middle = STEPS[model] // 2
        curves, found = arm(model), thrown(arm(model))
        stands[model] = found.farther > found.above / 2
        told.append(f"{found.farther} of {found.above} ({model})")
        distance = f"{np.median(found.ratio):.2f}" if found.above else "none"
        numbers.append(
            f"{model}: {found.above} of {found.spikes} spikes exceed the initial loss; the "
            f"parameters' distance from the best is then {distance} times that at the start "
            "(median)"
        )
        difference = np.abs(recomputed_losses(curves, middle) - curves.losses[middle - 1])
        error = max(error, float(np.nanmax(difference)))
    return Answer(
        "1.3 (b)",
        "Why does the loss exceed its initial value?",
        "the parameters move farther from the optimal values than the initial ones",
        "‖θ(peak) − θ*‖ against ‖θ(0) − θ*‖, θ* amid the run's 51 best steps by the running median "
        "of the loss",
        [Check("a step's losses, from the kept parameters by autograd", error, 1e-4)],
        verdict(stands),
        "of the peaks above the initial loss, the parameters are farther from the best than at the "
        f"start in {' and '.join(told)}" + FIRST_LOOK,
        numbers,
        measured=True,
    )


def c() -> Answer:
    """Does each cure take spikes away?"""
    names, differences, ends, numbers, same = [], [], [], [TOLD], 0.0
    for model, cures in CURES.items():
        plain = arm(model)
        rate = 1_000 / STEPS[model]
        for cure in cures:
            cured = arm(model, cure)
            names.append(f"{model} {cure}")
            differences.append(rate * (cured.spike_counts() - plain.spike_counts()))
            ends.append(f"{cured.last_loss():.2g}, without {plain.last_loss():.2g}")
            if cure != "norm=batch":  # which normalizes from the first step on
                same = max(same, float(np.abs(cured.losses[0] - plain.losses[0]).max()))
    pvalues = adjusted([paired_pvalue(each) for each in differences])
    effects = {}
    for name, each, p, end in zip(names, differences, pvalues, ends, strict=True):
        few = "fewer" if each.mean() < 0 else "more"
        effects[name] = few if p < SIGNIFICANT else "undecided"
        change = f"{each.mean():+.1f}".replace("-", "−")
        numbers.append(
            f"{name}: {change} spikes per 1,000 steps (p = {p:.2g}), {effects[name]}; "
            f"training loss of the last 50 steps {end}"
        )
    return Answer(
        "1.3 (c)",
        "What cures the spikes?",
        "clipping the gradient, batch normalization, a learning-rate schedule",
        "spikes per 1,000 steps of the same seeds with a cure less those without; p by turning "
        "signs, adjusted for the number of comparisons (Benjamini & Hochberg)",
        [Check("first losses with a cure and without, same seeds", same, 0)],
        verdict({name: effect == "fewer" for name, effect in effects.items()}),
        "spikes with a cure: "
        + ", ".join(f"{name} {effect}" for name, effect in effects.items())
        + FIRST_LOOK,
        numbers,
        measured=True,
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


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


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
