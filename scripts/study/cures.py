"""The study of cures: learning rates tuned without and with each cure, then many seeds at them."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from hw2exp import disk
from hw2exp.records.runs import Arm, read_runs
from hw2exp.report.measures import measure
from study.profiles import Profile
from study.sweeps import TUNING_SEED, seeds, sweep, values

ARMS = {
    "": "none",
    "clip=norm": "clip",
    "norm=batch": "batch",
    "norm=layer": "layer",
    "norm=qk": "qk",
    "schedule=step": "step",
    "schedule=cosine": "cosine",
    "schedule=warmup_cosine": "warmup",
    "clip=norm schedule=cosine": "clip_cosine",
    "clip=norm norm=batch schedule=cosine": "all",
}
"""By what an arm is made of: its experiment, ``cure_*``."""

BESIDES = {"layer": "init.readout=zeros"}
"""What a cure's file sets outside the groups of cures; its partner without cures needs it too."""

Rates = dict[tuple[str, str, str], float]
"""The learning rate chosen, by model, optimizer and cure."""


def tune(profile: Profile, folder: Path) -> None:
    """Try every learning rate for every model, optimizer and cure, and write down the best.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    for model, optimizer in settings(profile):
        sweep(
            folder / "tuning" / f"{model}_{optimizer}",
            *of(cures(profile, model), model, optimizer, profile.rates[optimizer]),
            seeds(profile.tuning_seeds, TUNING_SEED),
            *profile.overrides,
        )
    rows = [f"{','.join(key)},{rate:g}\n" for key, rate in chosen(folder).items()]
    disk.write(folder / "rates.csv", "".join(["model,optimizer,cure,lr\n", *rows]).encode())


def run(profile: Profile, folder: Path) -> None:
    """Run every cure at the rate that is best without, and again at the best with it.

    A cure that sets more than itself gets a partner without cures that has the rest.

    Args:
        profile: the study's size.
        folder: of the reproduction, with its tuning.
    """
    rates = chosen(folder)
    for model, optimizer in settings(profile):
        own = {cure: rates[model, optimizer, cure] for cure in cures(profile, model)}
        plain = own["none"]
        place = folder / "cures" / f"{model}_{optimizer}"
        plan = [(plain, list(own))]
        by_rate = sorted((rate, cure) for cure, rate in own.items() if rate != plain)
        for rate, pairs in groupby(by_rate, key=lambda pair: pair[0]):
            plan.append((rate, [cure for _, cure in pairs]))
        for rate, names in plan:
            words = of(names, model, optimizer, [rate])
            sweep(place / f"lr_{rate:g}", *words, seeds(profile.seeds), *profile.overrides)
        for cure, rest in BESIDES.items():
            if cure in own:
                words = [*of(["none"], model, optimizer, [plain]), rest]
                sweep(place / f"none_as_{cure}", *words, seeds(profile.seeds), *profile.overrides)


def of(names: Sequence[str], model: str, optimizer: str, rates: Sequence[float]) -> list[str]:
    """The overrides of a sweep over cures.

    Args:
        names: of the cures.
        model: the model.
        optimizer: the optimizer.
        rates: learning rates.
    """
    return [
        values("experiment", [f"cure_{name}" for name in names]),
        f"model={model}",
        f"optimizer={optimizer}",
        values("optimizer.lr", rates),
    ]


def settings(profile: Profile) -> Iterator[tuple[str, str]]:
    """Every model with every optimizer.

    Args:
        profile: the study's size.
    """
    return ((model, optimizer) for model in profile.models for optimizer in profile.rates)


def cures(profile: Profile, model: str) -> list[str]:
    """The cures that are tried on a model, ``none`` among them.

    Args:
        profile: the study's size.
        model: the model.
    """
    only = model.startswith("attn") and profile.attention_cures
    return [*profile.cures, *(profile.attention_cures if only else ())]


def chosen(folder: Path) -> Rates:
    """The rate at which most runs solve the task; of equals, that of the least test loss.

    Args:
        folder: of the reproduction, with its tuning.
    """
    groups: dict[tuple[str, str, str], list[Arm]] = {}
    for arm in read_runs(folder / "tuning").arms:
        key = arm.settings["model"], arm.settings["optimizer"], ARMS[arm.cures]
        groups.setdefault(key, []).append(arm)
    best = {key: min(arms, key=_badness) for key, arms in groups.items()}
    return {key: float(arm.settings["optimizer.lr"]) for key, arm in best.items()}


def _badness(arm: Arm) -> tuple[float, float]:
    found = measure(arm)
    return -found.solved.value, found.test_loss.value
