"""Check that a run or a sweep can resume in its folder: the recorded configs must agree."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hw2exp.config.folder import check_path
from hw2exp.config.job import Job
from hw2exp.config.packing import ENUMERATING
from hw2exp.config.recorded import read_values
from hw2exp.config.registry import equations
from hw2exp.config.run_files import CHECKPOINTS, CONFIG, PACKED, RESULT, SWEEP
from hw2exp.config.schema import OPERATIONAL, TrainConfig
from hw2exp.config.validation import validate
from hw2exp.config.yaml_file import leaves
from hw2exp.system.problems import ConfigError, show
from hw2exp.system.regular_file import is_blank

FREE = OPERATIONAL - {"log_every", "device", "diagnostics", "metric"}
"""Keys that may change on resume: neither the run's bits nor its rows depend on them."""


def check_resumed(
    folder: Path, jobs: Sequence[Job], explicit: Path | None, packed: bool = False
) -> None:
    """Refuse a folder in which these jobs can't resume.

    Args:
        folder: the folder of the run or of the sweep, as named by ``resume``.
        jobs: the jobs of the command.
        explicit: the folder of ``hydra.run.dir`` or ``hydra.sweep.dir``, if it was typed.
        packed: whether the command is a sweep with packed records, which are checked later.

    Raises:
        ConfigError: the folder is unsuitable, or its runs have other configs.
    """
    what, single = f"resume={folder}", jobs[0].number is None
    key = f"hydra.{'run' if single else 'sweep'}.dir"
    if not single and jobs[0].choice("hydra/sweeper") not in ENUMERATING:
        raise ConfigError([f"{what}: only a sweep over given values can be resumed"])
    if any(job.config.resume != jobs[0].config.resume for job in jobs):
        raise ConfigError([f"{what}: one folder for all jobs; resume can't be swept"])
    if explicit is not None and explicit.absolute() != folder.absolute():
        raise ConfigError([f"{key}={explicit}: must be left out, or agree with {what}"])
    check_path(folder, what)
    if jobs[0].config.resume == "":
        raise ConfigError(["resume=: must be the folder of a run or of a sweep"])
    if not folder.is_dir():
        begin = "" if folder.exists() else f"; with {key}={folder} too it begins there"
        raise ConfigError([f"{what}: must be a folder that exists{begin}"])
    if single and (folder / SWEEP).exists():
        raise ConfigError([f"{what}: is a sweep's folder; add -m and its overrides"])
    there = (folder / PACKED).is_dir()
    if packed and not there and not _only_begun(folder):
        raise ConfigError([f"{what}: holds no packed records; type records=folders if its runs do"])
    if not packed and there:
        raise ConfigError([f"{what}: holds packed records; type records=packed"])
    runs = [folder / job.subfolder for job in jobs]
    if led := _led_elsewhere(folder, runs):
        raise ConfigError(f"{what}: {problem}" for problem in led)
    if packed:
        return
    there, problems = _compare(jobs, runs)
    if not (there or _only_begun(folder)):
        nothing = "no run" if single else "none of the sweep's jobs"
        if not single and (folder / RESULT).exists():
            nothing += ", but a run; leave out -m"
        raise ConfigError([f"{what}: holds {nothing}"])
    if problems:
        raise ConfigError(f"{what}: {problem}" for problem in problems)


def _compare(jobs: Sequence[Job], runs: Sequence[Path]) -> tuple[bool, list[str]]:
    """Return whether any of the jobs exists, and a line on each difference of recorded configs."""
    there = False
    problems: dict[str, str] = {}  # by key, for the first job that differs
    for job, own in zip(jobs, runs, strict=True):
        name = "it" if job.number is None else f"job {job.number}"
        path = own / CONFIG
        ended, saved = (own / RESULT).exists(), (own / CHECKPOINTS).is_dir()
        if is_blank(path):  # lost in a power cut; result and checkpoints hold the config too
            there |= ended or saved or path.exists()
            continue
        there = True
        try:
            different = differences(read_values(path), job.config)
        except ConfigError as error:
            if not ended:
                continue  # an unusable config is rewritten
            different = {text: f"an unusable config: {text}" for text in error.problems}
        for key, text in different.items():
            problems.setdefault(key, f"{name} has {text}")
    return there, list(problems.values())


def _led_elsewhere(folder: Path, runs: Iterable[Path]) -> list[str]:
    """Describe the links and pipes in place of files and folders that a run would write."""
    if (folder / PACKED).is_symlink():
        return [f"{folder / PACKED} is a link; must be a folder"]
    sweep = folder / SWEEP
    if sweep.is_symlink() or (sweep.exists() and not sweep.is_file()):
        return [f"{sweep} is no file; must be one, or be removed"]
    return [
        f"{path} is a link; must be a folder"
        for run in runs
        for path in (run / CHECKPOINTS, (run / CONFIG).parent)
        if path.is_symlink()
    ]


def differences(values: Mapping[str, Any], new: TrainConfig) -> dict[str, str]:
    """Describe how a recorded config differs from the new config, by key.

    More steps are not a difference, unless the schedule spreads over all of them.

    Args:
        values: the recorded config, plain values.
        new: the config of the command.

    Raises:
        ConfigError: the recorded config is not of this version.
    """
    wanted = new.model_dump()
    old = validate({**values, **{key: wanted[key] for key in FREE}})
    size = values.get("fleet_size", new.fleet_size)
    if new.prunes and size != new.fleet_size:
        why = f"prune={new.prune.name} compares the arms of a fleet"
        return {"fleet_size": f"fleet_size={size}, not {new.fleet_size}: {why}"}
    if old == new:
        return {}
    before, now = dict(leaves(old.model_dump())), dict(leaves(wanted))
    texts = {
        key: f"{key.removesuffix('.name')}={show(before.get(key))}, not {show(now.get(key))}"
        for key in before | now
        if before.get(key) != now.get(key)
    }
    if "diagnostics.name" in texts:  # its keys come with the choice
        of_choice = {k for k in texts if k.startswith("diagnostics.") and not k.endswith(".name")}
        texts = {key: text for key, text in texts.items() if key not in of_choice}
    if {before["device"], now["device"]} == {"auto", "cpu"}:
        del texts["device"]
    if old.steps < new.steps:
        if equations("schedule", new.schedule.name).spans_run:
            texts["steps"] += f": schedule={new.schedule.name} spreads over all steps"
        else:
            del texts["steps"]
    elif old.steps > new.steps:
        texts["steps"] += ": there may only be more"
    return texts


def _only_begun(folder: Path) -> bool:
    """Return whether a folder holds only files from before the first step."""
    return all(
        path.name == SWEEP or path.name.startswith(".") or (path.is_dir() and _is_empty(path))
        for path in folder.iterdir()
    )


def _is_empty(folder: Path) -> bool:
    """Return whether a folder holds only hidden files (locks, incomplete writes), at any depth."""
    if folder.is_symlink() or not is_blank(folder / CONFIG):
        return False
    return all(
        path.name.startswith(".") or (path.is_dir() and _is_empty(path))
        for path in folder.iterdir()
    )
