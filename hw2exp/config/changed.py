"""Change a checked config by overrides, as the command line would, without Hydra's composition."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hw2exp.config.job import put
from hw2exp.config.parsing import key_of, parse
from hw2exp.config.refusals import REFUSALS, why_unparsed
from hw2exp.config.registry import ADDED_CHOICES, CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError, nearest, unknown_choice

CHANGEABLE = ("optimizer", "clip", "regularizer", "schedule", "seed", "batch_size")
"""The keys that can change in the middle of a run: none decides which parameters there are."""


def changed(config: TrainConfig, lines: Sequence[str]) -> TrainConfig:
    """Return a config with overrides applied.

    Args:
        config: the config of a run.
        lines: overrides of ``CHANGEABLE``, such as ``clip=norm`` or ``clip.max_norm=3``; a choice
            of a group comes with its shipped values.

    Raises:
        ConfigError: an override can't be read or applied, or the config would have problems.
    """
    values: dict[str, Any] = config.model_dump()
    for line in lines:
        _check(line)
        key, value = key_of(parse(line)), parse(line).value()
        values = put(values, key, _choice(key, value) if key in CHOICES else value)
    return validate(values)


def _check(line: str) -> None:
    """Refuse a line that is no override, or that changes what a run can't change any more."""
    try:
        override = parse(line)
    except REFUSALS as error:
        raise ConfigError([f"{line}: {why_unparsed(line, error)}"]) from error
    other = override.is_add() or override.is_force_add() or override.is_delete()
    if other or override.package or override.is_sweep_override():
        raise ConfigError([f"{line}: must be KEY=VALUE, with one value"])
    if (root := key_of(override).partition(".")[0]) not in CHANGEABLE:
        why = f"can't change in the middle of a run; {nearest(root, CHANGEABLE)}"
        raise ConfigError([f"{line}: {why}"])


def _choice(group: str, name: Any) -> dict[str, Any]:
    """Return the shipped values of a choice."""
    if not isinstance(name, str) or name not in CHOICES[group]:
        raise ConfigError([unknown_choice(group, name, CHOICES[group])])
    if (group, name) in ADDED_CHOICES:
        return dict(ADDED_CHOICES[group, name])
    values: dict[str, Any] = load_yaml(Path(str(files("hw2exp.configs"))) / group / f"{name}.yaml")
    return values
