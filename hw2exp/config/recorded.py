"""Read the config of a run folder."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hw2exp.config.refusals import one_error
from hw2exp.config.run_files import CONFIG
from hw2exp.config.schema import OPERATIONAL, TrainConfig
from hw2exp.config.trusted import WITHIN, bounded_references, trusted_resolvers
from hw2exp.config.validation import validate
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError

ADDED: dict[str, Any] = {
    "checkpoint_every": 0,
    "keep_checkpoints": 2,
    "records": "auto",
    "packed_parameters": True,
    "trust_changed": False,
    "executor": {"name": "local"},
    "regularizer": {"name": "none"},
    "prune": {"name": "none"},
    "logger": {"name": "none"},
    "init": {"bias": "torch", "forget_bias": 0.0},
    "metric": {"name": "none", "every": 100},
    "diagnostics": {
        "name": "none",
        **dict.fromkeys(("flow_every", "cell_every", "jacobian_every", "sharpness_every"), 0),
        "histogram_every": 0,
        "spikes": 0,
        "steps_before": 16,
        "seeds": None,
    },
}
"""Keys that older configs lack, with the values that reproduce the older behavior."""

ADDED_TO_CHOICES: dict[tuple[str, str], dict[str, Any]] = {
    ("norm", "batch"): {"population_sequences": 1024},
}
"""Keys that older configs of a choice lack, by group and choice."""

REMOVED = {"norm": {"momentum"}}
"""Obsolete keys by section: batch normalization once kept running statistics."""


class UnknownConfigError(ConfigError):
    """An error for a readable config that is of another version, or of another program."""


def read_values(path: Path) -> dict[str, Any]:
    """Read a recorded config as plain values.

    Values may refer to other values of the record. References to anything else, such as the
    reader's environment, are refused, because their value could differ from the run's.

    Raises:
        ConfigError: the file can't be read, or is no config.
    """
    values = load_yaml(path)
    if "${" in str(values):
        with trusted_resolvers(WITHIN), bounded_references():
            config = one_error(OmegaConf.create, values)
            values = one_error(OmegaConf.to_container, config, resolve=True)
    if not isinstance(values, dict):
        raise ConfigError([f"{path} is not a config"])
    return completed(values)


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with the keys that it lacks, and without obsolete keys."""
    complete = {key: value for key, value in ADDED.items() if key not in values} | dict(values)
    if isinstance(values.get("init"), dict):
        complete["init"] = ADDED["init"] | values["init"]
    for (group, choice), added in ADDED_TO_CHOICES.items():
        if isinstance(own := values.get(group), dict) and own.get("name") == choice:
            complete[group] = added | own
    for section, keys in REMOVED.items():
        if isinstance(own := complete.get(section), dict):
            complete[section] = {key: value for key, value in own.items() if key not in keys}
    return complete


def recorded_config(
    folder: Path, of_result: Mapping[str, Any] | None = None, shown: bool = False
) -> TrainConfig:
    """Return the checked config of a run, from its result if possible, else from its record.

    Args:
        folder: the run folder.
        of_result: the config in the run's result; older results have none.
        shown: whether the config is only shown, so that choices without code are allowed.

    Raises:
        ConfigError: the config can't be read, or is not of this version.
    """
    values = with_shipped(of_result) if of_result else read_values(folder / CONFIG)
    return _known(values, shown)


def config_of_result(values: Mapping[str, Any], shown: bool = False) -> TrainConfig:
    """Return the checked config of a run, with shipped values for keys that its result leaves out.

    Args:
        values: the config in a result.
        shown: whether the config is only shown, so that choices without code are allowed.

    Raises:
        ConfigError: the config is not of this version.
    """
    return _known(with_shipped(values), shown)


def with_shipped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config in a result, completed by shipped values for keys that it leaves out."""
    return completed({**_free(), **values})


def _known(values: Mapping[str, Any], shown: bool) -> TrainConfig:
    try:
        return validate(values, shown)
    except ConfigError as error:
        raise UnknownConfigError(error.problems) from error


@cache
def _free() -> dict[str, Any]:
    """Return the shipped values of the operational keys, which a result leaves out."""
    values = load_yaml(Path(str(files("hw2exp.configs") / "train.yaml")))
    return {key: values[key] for key in OPERATIONAL if key in values}
