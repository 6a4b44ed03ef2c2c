"""Write Hydra's records of a job: ``.hydra/config.yaml``, ``hydra.yaml``, ``overrides.yaml``."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_omega_conf_dumper

from hw2exp.config.job import Base, Job, Plain, put
from hw2exp.config.recorded import read_values
from hw2exp.config.run_files import CONFIG, OVERRIDES, RECORDS, RESULT
from hw2exp.config.schema import TrainConfig
from hw2exp.records.run_dir import read_finished
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.system.regular_file import is_blank

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class QuotingDumper(DUMPER):  # type: ignore[misc,valid-type]
    """A fast dumper that quotes strings as OmegaConf does."""


QuotingDumper.add_representer(str, get_omega_conf_dumper().str_representer)

GAP = re.compile(r"GAP_(\d+)_GAP")

PER_RUN = (
    "hydra.mode",
    "hydra.overrides.task",
    "hydra.job.override_dirname",
    "hydra.runtime.output_dir",
)
"""The keys of Hydra's node whose values differ from run to run."""

PER_JOB = (*PER_RUN, "hydra.job.id", "hydra.job.num")
"""The keys of Hydra's node whose values differ among a sweep's jobs."""


class Template:
    """A YAML text with gaps for the values that change from job to job.

    Args:
        values: the constant values, nested.
        keys: the dotted keys of the gaps.
    """

    def __init__(self, values: Plain, keys: Sequence[str]) -> None:
        for number, key in enumerate(keys):
            values = put(values, key, f"GAP_{number}_GAP")
        first, *rest = GAP.split(to_yaml(values))
        self._first = first
        self._rest = [(keys[int(n)], text) for n, text in zip(rest[::2], rest[1::2], strict=True)]

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with the gaps filled by values, by dotted key."""
        return self._first + "".join(f"{inline(values[key])}{text}" for key, text in self._rest)


def to_yaml(values: Plain) -> str:
    """Return the text of ``OmegaConf.to_yaml`` for plain values, thirty times as fast."""
    text: str = yaml.dump(values, Dumper=QuotingDumper, allow_unicode=True, sort_keys=False)
    return text


def inline(value: Any) -> str:
    """Format a value on one line of YAML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return json.dumps(value)
    style = '"' if isinstance(value, str) else None
    text: str = yaml.dump(value, Dumper=DUMPER, default_style=style, width=1 << 30)
    return text.removesuffix("\n").removesuffix("\n...")


@lru_cache(maxsize=64)
def _templates(
    base: Base, keys: tuple[str, ...], of_hydra: tuple[str, ...]
) -> tuple[Template, Template]:
    return Template(base.plain, keys), Template({"hydra": base.hydra}, of_hydra)


def write_records(job: Job) -> None:
    """Write Hydra's records, unless Hydra's ``output_subdir`` is null or the job has ended.

    Unlike Hydra's, the recorded config holds resolved values: an interpolation such as
    ``${oc.env:...}`` could have another value when it is read.

    Args:
        job: the job.
    """
    folder = job.folder
    subfolder = job.base.hydra["output_subdir"]
    if subfolder is None or _stays(folder, folder / subfolder, job.plain):
        return
    keys, mode = (PER_RUN, "RUN") if job.number is None else (PER_JOB, "MULTIRUN")
    config, hydra = _templates(job.base, tuple(job.values), keys)
    mine = (list(job.overrides), job.override_dirname, str(folder))
    own = (mode, *mine, str(job.number), job.number)
    records = folder / subfolder
    disk.make_folder(records, sync=False)
    disk.remove_parts(records)
    resolved = job.base.interpolated
    texts = {
        "config.yaml": to_yaml(job.plain) if resolved else config.fill(job.values),
        "hydra.yaml": hydra.fill(dict(zip(keys, own, strict=False))),
        "overrides.yaml": "".join(f"- {inline(line)}\n" for line in job.overrides) or "[]\n",
    }
    _write(records, {name: text.encode() for name, text in texts.items()})


def write_config(folder: Path, config: TrainConfig, overrides: Sequence[str]) -> None:
    """Write the records of a job that Hydra has not composed: its config and its overrides.

    Args:
        folder: the run folder.
        config: the config.
        overrides: the job's overrides.
    """
    texts = {
        CONFIG: to_yaml(config.model_dump(mode="json")),
        OVERRIDES: "".join(f"- {inline(line)}\n" for line in overrides) or "[]\n",
    }
    disk.make_folder(folder / RECORDS)
    disk.write_together({folder / name: text.encode() for name, text in texts.items()})


def _write(records: Path, files: Mapping[str, bytes]) -> None:
    """Write records, and sync those that replace others, because a result may lie beside them.

    New records are synced later, for all jobs of a sweep at once.
    """
    changed = {records / name: content for name, content in files.items()}
    replaced = {path: content for path, content in changed.items() if path.exists()}
    for path, content in changed.items():
        if path not in replaced:
            disk.write(path, content, sync=False)
    disk.write_together({p: content for p, content in replaced.items() if not _has(p, content)})


def _has(path: Path, content: bytes) -> bool:
    same_size = path.is_file() and path.stat().st_size == len(content)
    return same_size and path.read_bytes() == content


def resolve_record(path: Path, config: Plain) -> None:
    """Resolve a recorded config, if it exists: replace interpolations by the run's values."""
    if path.is_file() and "${" in path.read_text():
        disk.write(path, to_yaml(config).encode())


def _stays(folder: Path, records: Path, config: Plain) -> bool:
    """Return whether to keep the records: the job has ended, and they have as many steps."""
    if not (folder / RESULT).exists():
        return False
    if read_finished(folder, config["steps"], config["eval_every"]) is None:
        return False
    if any(map(is_blank, records.iterdir() if records.is_dir() else [records])):
        return False
    try:
        return bool(read_values(records / "config.yaml")["steps"] == config["steps"])
    except (ConfigError, KeyError):
        return False
