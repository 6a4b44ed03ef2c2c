"""Pair arms for comparison, and label them."""

from collections.abc import Iterator, Sequence

from hw2exp.records.arm_names import decided, differing, words
from hw2exp.records.arms import NO_CURE, RATE, Arm, Key


def partners(
    arms: Sequence[Arm], others: Sequence[Arm], group: tuple[str, ...]
) -> Iterator[tuple[Arm, Arm]]:
    """Pair each arm with every other arm that differs from it only in some groups and keys.

    If there are several such arms, partners must also agree in the keys of these groups that both
    have: of two optimizers, each at several learning rates, those at the same rate are partners. If
    no other arm has the same learning rate, the partner is the one at another rate, if there is
    exactly one: each arm may have its own best rate. An arm without such a partner has no pair.

    Args:
        arms: the arms to pair.
        others: the arms to pair them with.
        group: the groups and keys in which partners may differ; every other setting must agree,
            even if a choice's own file sets it, as ``norm=layer`` sets ``init.readout``.
    """
    of_key: dict[Key, list[Arm]] = {}
    for arm in others:
        for key in {arm.settings_but(*group), arm.settings_but(*group, RATE)}:
            of_key.setdefault(key, []).append(arm)
    for arm in arms:
        same = of_key.get(arm.settings_but(*group), [])
        near = of_key.get(arm.settings_but(*group, RATE), [])
        found = same or (near if len(near) == 1 else [])
        yield from ((arm, each) for each in _agreeing(arm, found, group) if each is not arm)


def _agreeing(arm: Arm, others: Sequence[Arm], group: tuple[str, ...]) -> Sequence[Arm]:
    """Return the other arms; if there are several, those that agree in all keys of both."""
    keys = differing([each.settings for each in others])
    shared = [key for key in keys if key in arm.settings and key not in group]
    return [
        each
        for each in others
        if all(each.settings.get(key) in (None, arm.settings[key]) for key in shared)
    ]


def references(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Pair each arm that has cures with the arm that differs only in having none."""
    cured = [arm for arm in arms if arm.cures]
    return list(partners(cured, [arm for arm in arms if not arm.cures], tuple(NO_CURE)))


def setting_of(arm: Arm) -> tuple[str, str]:
    """Return the model and the optimizer, by which figures and claims group arms."""
    return arm.model, arm.optimizer


def labels(arms: Sequence[Arm]) -> list[str]:
    """Return short names of arms with one model and optimizer: cures, and settings that differ."""
    settings = [arm.settings for arm in arms]
    keys = [
        key
        for key in differing(settings)
        if key.partition(".")[0] not in NO_CURE and not decided(key, settings)
    ]
    labels = [f"{arm.cures or 'no cure'} {words(keys, arm.settings)}".rstrip() for arm in arms]
    return [label.replace(" optimizer.", " ") for label in labels]
