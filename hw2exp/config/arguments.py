"""The words of a command line: Hydra's flags, and the overrides."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from hw2exp.config.folder import check_path
from hw2exp.config.problems import ConfigError, in_one_line

MULTIRUN = ("-m", "--multirun")
INSPECTING = ("cfg", "info", "hydra_help", "version", "shell_completion")
"""Hydra's flags that only show something."""

UNSUPPORTED = {
    "config_name": "the config is always the one of this package; use experiment=",
    "config_path": "the config is always the one of this package; use --config-dir to add to it",
    "experimental_rerun": "type the command again",
}


def in_order(argv: Sequence[str]) -> list[str]:
    """Put the flags in front: argparse wants the overrides in one piece.

    Args:
        argv: the arguments as typed; ``--dry-run`` is short for ``dry_run=true``.
    """
    words = ["dry_run=true" if word == "--dry-run" else word for word in argv]
    flags = [word for word in words if word in MULTIRUN][:1]
    return flags + [word for word in words if word not in MULTIRUN]


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Tell flags and overrides apart.

    Args:
        argv: the arguments, flags first.

    Raises:
        ConfigError: an unknown flag, or one that this command can't honor.
    """
    arguments = in_one_line(get_args_parser()).parse_args(list(argv))
    problems = [
        f"--{name.replace('_', '-')}={value}: not here; {why}"
        for name, why in UNSUPPORTED.items()
        if (value := getattr(arguments, name, None)) is not None
    ]
    if arguments.config_dir is not None:
        what = f"--config-dir={arguments.config_dir}"
        check_path(Path(arguments.config_dir), what)
        if not Path(arguments.config_dir).is_dir():
            problems.append(f"{what}: must be a folder that exists")
    if arguments.multirun and arguments.cfg:
        problems.append(f"--cfg={arguments.cfg}: shows a single run; leave out --multirun")
    if problems:
        raise ConfigError(problems)
    return arguments


def inspects(arguments: argparse.Namespace) -> bool:
    """Whether the command only asks Hydra to show something.

    Args:
        arguments: from :func:`parse_arguments`.
    """
    return any(getattr(arguments, name, None) for name in INSPECTING)
