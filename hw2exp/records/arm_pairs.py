"""Pair arms for comparison, and label them."""

from collections.abc import Sequence

from hw2exp.records.runs import NO_CURE, RATE, Arm, Key, decided


def references(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Pair each arm that has cures with the arm that differs only in having none.

    Every setting outside the groups of cures must agree, even if a cure's own file sets it, as
    ``norm=layer`` sets ``init.readout``. If no arm without cures has the same learning rate, take
    the arm at another rate, if there is exactly one: each arm may have its own best rate. An arm
    without such a partner has no pair.

    Args:
        arms: all arms.
    """
    plain: dict[Key, list[Arm]] = {}
    for arm in arms:
        if not arm.cures:
            for key in (_but_cures(arm), _but_cures(arm, RATE)):
                plain.setdefault(key, []).append(arm)
    pairs = []
    for arm in arms:
        same, near = (plain.get(_but_cures(arm, *left_out), []) for left_out in ((), (RATE,)))
        if arm.cures and (same or len(near) == 1):
            pairs.append((arm, (same or near)[0]))
    return pairs


def _but_cures(arm: Arm, *left_out: str) -> Key:
    return tuple(
        (key, value)
        for key, value in arm.settings.items()
        if key.partition(".")[0] not in NO_CURE and key not in left_out
    )


def settings_of(arm: Arm) -> tuple[str, str]:
    """Return the model and the optimizer, by which figures and claims group arms.

    Args:
        arm: the arm.
    """
    return arm.settings["model"], arm.settings["optimizer"]


def labels(arms: Sequence[Arm]) -> list[str]:
    """Return short names of arms of one model and optimizer: cures, and settings that differ.

    Args:
        arms: the arms.
    """
    keys = [
        key
        for key in dict.fromkeys(key for arm in arms for key in arm.settings)
        if len({arm.settings.get(key) for arm in arms}) > 1
        and key.partition(".")[0] not in NO_CURE
        and not decided(key, [arm.settings for arm in arms])
    ]
    return [
        " ".join(
            [
                arm.cures or "no cure",
                *(f"{_short(key)}={arm.settings[key]}" for key in keys if key in arm.settings),
            ]
        )
        for arm in arms
    ]


def _short(key: str) -> str:
    return key.removeprefix("optimizer.")
