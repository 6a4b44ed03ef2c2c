"""Whether a sweep can go on in its folder: the jobs that are there must be those asked for."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hw2exp.config.choices import OPERATIONAL
from hw2exp.config.composed_job import ComposedJob
from hw2exp.config.folder import RESULT
from hw2exp.config.jobs import ENUMERATING
from hw2exp.config.overrides import one_error
from hw2exp.config.problems import ConfigError, show
from hw2exp.config.recorded import read_values
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate


def check_resumed(
    folder: Path,
    jobs: Sequence[ComposedJob],
    configs: Sequence[TrainConfig],
    explicit: Path | None,
) -> None:
    """Refuse a folder in which these jobs can't go on.

    Args:
        folder: the sweep's folder, which ``resume`` names.
        jobs: the jobs that are asked for.
        configs: their checked configs.
        explicit: the folder that ``hydra.sweep.dir`` names, if it was typed.

    Raises:
        ConfigError: it is no sweep's folder, or its jobs differ in what they compute.
    """
    what = f"resume={folder}"
    if jobs[0].number is None:
        raise ConfigError([f"{what}: only a sweep can be resumed so far; add -m and its overrides"])
    if jobs[0].choice("hydra/sweeper") not in ENUMERATING:
        raise ConfigError([f"{what}: only a sweep over given values can be resumed"])
    if any(config.resume != configs[0].resume for config in configs):
        raise ConfigError([f"{what}: one folder for all jobs; resume can't be swept"])
    if explicit is not None and explicit.absolute() != folder.absolute():
        raise ConfigError([f"hydra.sweep.dir={explicit}: must be left out, or agree with {what}"])
    if not folder.is_dir():
        raise ConfigError([f"{what}: must be a folder that exists"])
    there = False
    problems: dict[str, str] = {}  # by key, as the first job has it
    for job, config in zip(jobs, configs, strict=True):
        own = folder / one_error(job.select, "hydra.sweep.subdir")
        path = own / (job.base.hydra["output_subdir"] or "") / "config.yaml"
        ended, known = (own / RESULT).exists(), path.is_file()
        if ended and not known:
            problems.setdefault("", f"{what}: job {job.number} has a result, but {path} is gone")
        if not known:
            continue
        try:
            different = _differences(path, config)
        except ConfigError as error:
            if not ended:  # a kill may have cut it off; it is written anew
                continue
            different = {text: f"an unusable config: {text}" for text in error.problems}
        there = True
        for key, text in different.items():
            problems.setdefault(key, f"{what}: job {job.number} has {text}")
    if not there:
        raise ConfigError([f"{what}: holds none of the sweep's jobs"])
    if problems:
        raise ConfigError(problems.values())


def _differences(path: Path, new: TrainConfig) -> dict[str, str]:
    """The keys in which a job that is there differs from the one asked for, and how."""
    wanted = new.model_dump()
    old = validate({**read_values(path), **{key: wanted[key] for key in OPERATIONAL}})
    if old == new:
        return {}
    before, now = dict(_leaves(old.model_dump())), dict(_leaves(wanted))
    return {
        key: f"{key.removesuffix('.name')}={show(before.get(key))}, not {show(now.get(key))}"
        for key in before | now
        if before.get(key) != now.get(key)
    }


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
