"""Parse the words of a command line: Hydra's flags and the overrides."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from hw2exp.config.folder import at_home, check_path
from hw2exp.config.overrides import assignment
from hw2exp.config.trusted import untrusted_folder
from hw2exp.system.problems import ConfigError, in_one_line

INFO = ("-i", "--info")
MODES = ("run", "multirun", "cfg", "info", "hydra_help", "shell_completion")
"""Flags that exclude each other."""

UNSUPPORTED = {
    "config_name": "the config is always the one of this package; use experiment=",
    "config_path": "the config is always the one of this package; use --config-dir to add to it",
    "experimental_rerun": "type the command again",
}

HOME = re.compile(
    r"(?P<key>\+{0,2}(?:hydra\.run\.dir|hydra\.sweep\.dir|resume))="
    r"(?P<quote>['\"]?)(?P<path>~.*)(?P=quote)",
    re.DOTALL,
)
"""An override that names a folder below the home folder, by ``~``."""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Separate flags and overrides, in any order.

    Args:
        argv: the arguments; ``--dry-run`` is short for ``dry_run=true``.

    Returns:
        Hydra's flags, and the overrides with ``~`` expanded.

    Raises:
        ConfigError: a flag is unknown, or not supported by this command.
    """
    words = ["dry_run=true" if word == "--dry-run" else word for word in argv]
    for place, word in enumerate(words):  # argparse would read an override as the value
        if word in INFO and "=" in "".join(words[place + 1 : place + 2]):
            words[place] = "--info=all"
    arguments = in_one_line(get_args_parser()).parse_intermixed_args(words)
    arguments.overrides = [_written_out(word) for word in arguments.overrides]
    if arguments.config_dir is not None:
        arguments.config_dir = at_home(arguments.config_dir, "--config-dir=")
    if problems := _problems(arguments):
        raise ConfigError(problems)
    return arguments


def _problems(arguments: argparse.Namespace) -> list[str]:
    typed = dict(zip(vars(arguments), _flags(arguments), strict=True))
    problems = [
        f"{typed[name]}: not here; {why}" for name, why in UNSUPPORTED.items() if typed.get(name)
    ]
    if arguments.config_dir is not None:
        check_path(Path(arguments.config_dir), typed["config_dir"])
        if not Path(arguments.config_dir).is_dir():
            problems.append(f"{typed['config_dir']}: must be a folder that exists")
        problems += untrusted_folder(Path(arguments.config_dir))
    modes = [typed[name] for name in MODES if typed[name]]
    if arguments.multirun and arguments.cfg:
        problems.append(f"{typed['cfg']}: shows a single run; leave out --multirun")
    elif len(modes) > 1:
        problems.append(f"{' '.join(modes)}: must be one of them")
    if arguments.cfg is None:
        problems += [f"{typed[n]}: needs --cfg" for n in ("resolve", "package") if typed[n]]
    return problems


def _flags(arguments: argparse.Namespace) -> list[str]:
    """Write each flag as one word, which is empty for a missing flag."""
    return [
        ""
        if name == "overrides" or value in (None, False)
        else f"--{name.replace('_', '-')}" + (f"={value}" if value is not True else "")
        for name, value in vars(arguments).items()
    ]


def words_of(arguments: argparse.Namespace) -> list[str]:
    """Return the words for Hydra: flags first, then the overrides."""
    return [*filter(None, _flags(arguments)), *arguments.overrides]


def _written_out(word: str) -> str:
    """Expand the ``~`` of an override that names a folder; Hydra's parser refuses it."""
    found = HOME.fullmatch(word)
    if found is None:
        return word
    key, quote = found["key"], found["quote"]
    path = at_home(found["path"], f"{key}=")
    if quote or set(path) & set(",'\"\\"):
        return f"{key}={quote}{path}{quote}"
    return assignment(key, path)


def inspects(arguments: argparse.Namespace) -> bool:
    """Return whether the command only asks Hydra to show its config."""
    return arguments.cfg is not None or arguments.info is not None


def about_hydra(arguments: argparse.Namespace) -> bool:
    """Return whether the command asks for Hydra's help or for shell completion."""
    return bool(arguments.hydra_help or arguments.shell_completion)
