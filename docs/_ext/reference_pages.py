"""Write the reference's pages on keys and commands from the schema and the commands' parsers."""

import os
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pydantic import BaseModel

from hw2exp.__main__ import COMMANDS
from hw2exp.config.command_line import read
from hw2exp.config.help import choices_of, group_names, words_on
from hw2exp.config.knob import is_per_replica
from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import allowed_values, knobs

PAGES = Path(__file__).parents[1] / "reference"

HEAD = """# Every key

This page is made from the schema that checks each command. A key is set by `key=value`; a choice's
keys exist where the choice is made. *Swept* says what a fleet does with a swept key: *data* means
that runs with different values train in one fleet, *shape* that each value has fleets of its own.
"""


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for its sources."""
    app.connect("config-inited", lambda *_: write_pages())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages() -> None:
    """Write the pages on keys and on commands."""
    (PAGES / "keys.md").write_text("\n".join(key_lines()), encoding="utf-8")
    (PAGES / "commands.md").write_text("\n".join(command_lines()), encoding="utf-8")


def key_lines() -> Iterator[str]:
    """Yield the lines of the page on keys: those of every run, then those of each choice."""
    yield HEAD
    yield "## Of every run\n"
    names = [key for key in TrainConfig.model_fields if key not in CHOICES]
    yield from table(TrainConfig, "", read([]).jobs[0].config.model_dump(mode="json"), names)
    for group in group_names():
        if group == "experiment":
            continue
        yield f"\n## {group}\n"
        for name, section in CHOICES[group].items():
            yield f"\n### {group}={name}\n\n{words_on(group, name)}\n"
            yield from table(section, group, defaults(group, name))


def defaults(group: str, name: str) -> Any:
    """Return the values of a choice's keys as Hydra composes them, by name."""
    words = [f"{group}={name}"]
    with initialize_config_module("hw2exp.configs", version_base=None):
        return OmegaConf.to_container(compose("train", words)[group])


def table(
    schema: type[BaseModel], prefix: str, values: Any, only: list[str] | None = None
) -> Iterator[str]:
    """Yield a table of keys, without rows if there are none."""
    rows = []
    for key, section, name in knobs(schema, prefix):
        if only is not None and key.split(".")[0] not in only:
            continue
        value = values
        for part in key.removeprefix(f"{prefix}.").split("."):
            value = value[part]
        field = section.model_fields[name]
        kind = "data" if is_per_replica(field) else "shape"
        cells = (f"`{key}`", f"`{shown(value)}`", allowed_values(section, name), kind)
        rows.append((*cells, field.description or ""))
    if rows:
        yield "| key | default | allowed | swept | meaning |\n| --- | --- | --- | --- | --- |"
        yield from (
            "| " + " | ".join(escape(c, quote=False).replace("|", "\\|") for c in row) + " |"
            for row in rows
        )


def shown(value: Any) -> str:
    """Write a value as one types it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def command_lines() -> Iterator[str]:
    """Yield the lines of the page on commands: what each says with --help."""
    yield "# Commands\n\nEach command says this itself, by `--help`.\n"
    for command, words in COMMANDS.items():
        yield f"\n## python -m hw2exp.{command}\n\n{words[0].upper()}{words[1:]}.\n"
        if command == "train":
            yield "Its groups and keys: [every key](keys.md). Its experiments:\n"
            yield "| experiment | what it is |\n| --- | --- |"
            for name in choices_of("experiment"):
                yield f"| `{name}` | {words_on('experiment', name)} |"
            continue
        yield f"```text\n{help_of(command)}```"


def help_of(name: str) -> str:
    """Return a command's text of --help, 100 columns wide."""
    os.environ["COLUMNS"] = "100"  # whatever the terminal
    home = f"hw2exp.{name}"
    if (Path(import_module(home).__file__ or "")).name == "__init__.py":
        home += ".__main__"
    return import_module(home)._parser().format_help()
