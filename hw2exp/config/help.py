"""Write the texts of ``--help`` and ``--dry-run`` from the schema and the config files."""

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from importlib.resources import files
from operator import getitem
from textwrap import indent
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from hw2exp.config.registry import ADDED_CHOICES, CHOICES, equations
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import allowed_values, knobs
from hw2exp.system.problems import counted, show

if TYPE_CHECKING:
    from hw2exp.config.command_line import Command

HEAD = """\
usage: python -m hw2exp.train [group=choice] [key=value] [-m] [--dry-run] [--version]
                              [--import MODULE]

Train a recurrent network on temporal order, and see it blow up.

  python -m hw2exp.train experiment=explosion_sgd            a gradient that explodes
  python -m hw2exp.train experiment=explosion_sgd clip=norm  the same, cured by clipping
  python -m hw2exp.train experiment=explosion clip=norm      under RMSprop: a surprise
  python -m hw2exp.train model=lstm seed=3                   any choice, any key
  python -m hw2exp.train -m model=rnn,lstm 'seed=range(0,8)' a sweep: every combination
  python -m hw2exp.train --dry-run optimizer.lr=0.01         show the config, run nothing
"""


def help_text() -> str:
    """Return the text of ``--help``: groups and choices; keys with meaning and range."""
    values = yaml.safe_load((files("hw2exp.configs") / "train.yaml").read_text(encoding="utf-8"))
    chosen = {
        group: name for own in values["defaults"] if own != "_self_" for group, name in own.items()
    }
    groups = "\n".join(_group_line(group, chosen[group]) for group in group_names())
    keys = "\n".join(_key_lines(TrainConfig, values=values))
    sections = "\n".join(_section_lines())
    told = "\n".join(_choice_lines())
    return (
        f"{HEAD}\nGroups (group=choice)\n{groups}\n\nChoices\n{told}"
        f"\n\nKeys (key=value)\n{keys}\n\nKeys of a choice\n{sections}\n\n"
        "Hydra's own flags, and shell completion of hw2exp-train: --hydra-help"
    )


def _group_line(group: str, default: str | None) -> str:
    line = f"  {group:<11} {', '.join(choices_of(group))}"
    return line if default is None else f"{line} (default {default})"


def _choice_lines() -> Iterator[str]:
    for group in group_names():
        names = choices_of(group)
        wide = max(map(len, names))
        yield from (f"  {group}={name:<{wide}} {words_on(group, name)}".rstrip() for name in names)


def words_on(group: str, name: str) -> str:
    """Return a sentence on a choice: the first of its file's comment, or of its docstring.

    Args:
        group: the group, or ``experiment``.
        name: the choice.
    """
    path = files("hw2exp.configs") / group / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [line for line in lines if not line.startswith("# @package")]
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line.removeprefix("#").strip() for line in comment)
    if not text and group in CHOICES:
        text = (equations(group, name).__doc__ or "").partition("\n\n")[0]
    return re.split(r"(?<=[.?!]) (?=[A-Z])", " ".join(text.split()).replace("``", ""))[0]


def group_names() -> list[str]:
    """Return the groups in the order of the schema, then ``experiment``."""
    return [*CHOICES, "experiment"]


def choices_of(group: str) -> list[str]:
    """Return the choices of a group: shipped and added by a user's code."""
    folder = files("hw2exp.configs") / group
    shipped = [entry.name.removesuffix(".yaml") for entry in folder.iterdir()]
    added = [name for of_group, name in ADDED_CHOICES if of_group == group]
    known = list(CHOICES.get(group, ()))  # easy before hard, not alphabetic
    names = [name for name in shipped + added if not name.startswith("_")]
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else 0, name))


def _key_lines(
    schema: type[BaseModel], prefix: str = "", values: Mapping[str, Any] | None = None
) -> Iterator[str]:
    for key, section, name in knobs(schema, prefix):
        if prefix or key.split(".")[0] not in CHOICES:
            meaning, allowed = section.model_fields[name].description, allowed_values(section, name)
            if values is not None:
                allowed += f"; default {show(reduce(getitem, key.split('.'), values))}"
            yield f"  {key:<24} {meaning} ({allowed})"


def _section_lines() -> Iterator[str]:
    for group, choices in CHOICES.items():
        for schema in dict.fromkeys(choices.values()):
            names = [name for name, own in choices.items() if own is schema]
            if lines := list(_key_lines(schema, group)):
                yield f"  {group}={'|'.join(names)}"
                yield from (f"  {line}" for line in lines)


def plan_text(command: "Command") -> str:
    """Return the text of ``--dry-run``: the resolved config and the planned jobs."""
    config = command.jobs[0].config
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, default_flow_style=None)
    grid = command.grid
    jobs = len(command.jobs) if grid is None else len(grid)
    what = (
        f"{config.model.name} (H {config.model.hidden_size}) on {config.task.name}: "
        f"{counted(config.steps, 'step')} of {counted(config.batch_size, 'sequence')}, a test of "
        f"{config.eval_batches * config.batch_size:,} every {counted(config.eval_every, 'step')}"
    )
    if command.multirun:
        number = f"what is missing of {jobs} jobs" if command.resumes else counted(jobs, "job")
        where = command.folder if grid is None else f"{command.folder}, packed"
        first = command.jobs[:20] if grid is None else map(grid.job, range(min(20, jobs)))
        lines = [f"would run {number} into {where}; the first's config is above"]
        lines += [f"  {n}: {' '.join(job.overrides)}" for n, job in enumerate(first)]
        return text + "\n".join(lines + ([f"  … {jobs - 20} more"] if jobs > 20 else []))
    verb = "would resume with" if command.resumes else "would run"
    return text + "\n".join([verb, indent(what, "  "), f"  into {command.folder}"])
