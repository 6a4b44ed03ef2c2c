"""What Hydra records of a job: ``.hydra/config.yaml``, ``hydra.yaml`` and ``overrides.yaml``."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from hw2exp.config.composed_job import Base, ComposedJob, Plain, put

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
GAP = re.compile(r"GAP_(\d+)_GAP")

PER_JOB = (
    "hydra.overrides.task",
    "hydra.job.override_dirname",
    "hydra.job.id",
    "hydra.job.num",
    "hydra.runtime.output_dir",
)
"""The values of Hydra's node that each job has of its own."""


class Template:
    """A YAML text with gaps for the values that change from job to job.

    Args:
        values: the other values, nested.
        keys: the dotted keys of the gaps.
    """

    def __init__(self, values: Plain, keys: Sequence[str]) -> None:
        for number, key in enumerate(keys):
            values = put(values, key, f"GAP_{number}_GAP")
        first, *rest = GAP.split(OmegaConf.to_yaml(values))
        self._first = first
        self._rest = [(keys[int(n)], text) for n, text in zip(rest[::2], rest[1::2], strict=True)]

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text.

        Args:
            values: those of the gaps, by dotted key.
        """
        return self._first + "".join(f"{inline(values[key])}{text}" for key, text in self._rest)


def inline(value: Any) -> str:
    """Write a value on one line of YAML.

    Args:
        value: a plain value.
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return json.dumps(value)
    style = '"' if isinstance(value, str) else None
    text: str = yaml.dump(value, Dumper=DUMPER, default_style=style, width=1 << 30)
    return text.removesuffix("\n").removesuffix("\n...")


@lru_cache(maxsize=64)
def _templates(base: Base, keys: tuple[str, ...]) -> tuple[Template, Template]:
    return Template(base.plain, keys), Template({"hydra": base.hydra}, PER_JOB)


def write_records(job: ComposedJob, folder: Path) -> None:
    """Write what Hydra would, unless it is told not to.

    Args:
        job: the job.
        folder: its folder, which exists.
    """
    subfolder = job.base.hydra["output_subdir"]
    if subfolder is None:
        return
    config, hydra = _templates(job.base, tuple(job.values))
    own = (list(job.overrides), job.override_dirname, str(job.number), job.number, str(folder))
    records = folder / subfolder
    records.mkdir(parents=True, exist_ok=True)
    texts = {
        "config.yaml": config.fill(job.values),
        "hydra.yaml": hydra.fill(dict(zip(PER_JOB, own, strict=True))),
        "overrides.yaml": "".join(f"- {inline(line)}\n" for line in job.overrides) or "[]\n",
    }
    for name, text in texts.items():
        with open(records / name, "wb", buffering=0) as file:  # half the time of write_text
            file.write(text.encode())
