"""The study of cures: learning rates tuned without and with each cure, then many seeds at them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hw2exp.records.arms import Arm
from hw2exp.records.runs import read_runs
from hw2exp.report.measures import ArmMeasures, measure
from hw2exp.system import disk
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
"""The experiment, ``cure_*``, by the overrides of an arm's cures."""

BESIDES = {"layer": "init.readout=zeros"}
"""Overrides that a cure's file sets outside the groups of cures; its partner without cures needs
them too."""


@dataclass(frozen=True)
class Choice:
    """The learning rate chosen for a model, an optimizer and a cure.

    Args:
        rate: the learning rate.
        solved: the share of its runs that solved the task.
        runs: the number of its runs.
        edge: ``lowest`` or ``highest`` if no rate below or above was tried, else empty.
    """

    rate: float
    solved: float
    runs: int
    edge: str

    @property
    def note(self) -> str:
        """Return the reason why the rate is a poor choice, or an empty string."""
        if not self.solved:
            return "none solves"  # chosen by test loss alone: no grid is wide enough
        return f"{self.edge} rate of the grid: widen it" if self.edge else ""


Choices = dict[tuple[str, str, str], Choice]
"""Choices by model, optimizer and cure."""


def tune(profile: Profile, folder: Path) -> None:
    """Try every learning rate for every model, optimizer and tuned cure, and write the best.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
    """
    for model, optimizer in settings(profile):
        sweep(
            folder / "tuning" / f"{model}_{optimizer}",
            *of(tuned(profile, model), model, optimizer, profile.rates[optimizer]),
            seeds(profile.tuning_seeds, TUNING_SEED),
            *profile.overrides,
        )
    found = chosen(folder)
    write(found, folder / "rates.csv")
    for key, choice in found.items():
        if choice.note:
            print(f"{' '.join(key)}: lr {choice.rate:g}, {choice.note}")


def write(choices: Mapping[tuple[str, str, str], Choice], path: Path) -> None:
    """Write a table of the chosen learning rates.

    Args:
        choices: the choices, by model, optimizer and cure.
        path: the path of the CSV file.
    """
    rows = ["model,optimizer,cure,lr,solved,runs,edge\n"]
    for key, each in choices.items():
        rows.append(f"{','.join(key)},{each.rate:g},{each.solved:g},{each.runs},{each.edge}\n")
    disk.write(path, "".join(rows).encode())


def run(profile: Profile, folder: Path) -> None:
    """Run every cure at the best rate without cures; if tuned, also at the best rate with the cure.

    A cure with further overrides gets a partner without cures that has these overrides.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction, with its tuning.
    """
    rates = chosen(folder)
    for model, optimizer in settings(profile):
        plain = rates[model, optimizer, "none"].rate
        own = dict.fromkeys(cures(profile, model), plain)
        own |= {cure: rates[model, optimizer, cure].rate for cure in tuned(profile, model)}
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
    """Return the overrides of a sweep over cures.

    Args:
        names: the names of the cures.
        model: the model.
        optimizer: the optimizer.
        rates: the learning rates.
    """
    return [
        values("experiment", [f"cure_{name}" for name in names]),
        f"model={model}",
        f"optimizer={optimizer}",
        values("optimizer.lr", rates),
    ]


def settings(profile: Profile) -> Iterator[tuple[str, str]]:
    """Return every model with every optimizer.

    Args:
        profile: the size of the study.
    """
    return ((model, optimizer) for model in profile.models for optimizer in profile.rates)


def cures(profile: Profile, model: str) -> list[str]:
    """Return the cures to try on a model, ``none`` among them.

    Args:
        profile: the size of the study.
        model: the model.
    """
    only = model.startswith("attn") and profile.attention_cures
    return [*profile.cures, *(profile.attention_cures if only else ())]


def tuned(profile: Profile, model: str) -> list[str]:
    """Return the cures whose own best learning rate is tuned, ``none`` among them.

    Args:
        profile: the size of the study.
        model: the model.
    """
    return cures(profile, model) if profile.own_rates else ["none"]


def chosen(folder: Path) -> Choices:
    """Choose the rate at which most runs solve the task; among equals, that of least test loss.

    Args:
        folder: the folder of the reproduction, with its tuning.
    """
    groups: dict[tuple[str, str, str], list[Arm]] = {}
    for arm in read_runs(folder / "tuning").arms:
        key = arm.model, arm.optimizer, ARMS[arm.cures]
        groups.setdefault(key, []).append(arm)
    return {key: _best(arms) for key, arms in groups.items()}


def _best(arms: Sequence[Arm]) -> Choice:
    tried = {arm.rate: arm for arm in arms}
    measured = {rate: measure(arm) for rate, arm in tried.items()}
    best = min(measured, key=lambda rate: _badness(measured[rate]))
    edge = {min(tried): "lowest", max(tried): "highest"}.get(best, "")
    return Choice(best, measured[best].solved.value, len(tried[best].runs), edge)


def _badness(found: ArmMeasures) -> tuple[float, float]:
    return -found.solved.value, found.test_loss.value
