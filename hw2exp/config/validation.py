"""Turn a plain nested dict into a checked ``TrainConfig``; report all problems at once."""

from collections.abc import Mapping
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hw2exp.config.choices import CHOICES
from hw2exp.config.groups import (
    MAX_SEED,
    SGD,
    BatchNorm,
    ElmanRNN,
    Omega,
    QKNorm,
    Seeds,
    Task,
    WarmupCosine,
)
from hw2exp.config.schema import TrainConfig
from hw2exp.system.problems import ConfigError, show, unknown_choice, unknown_key

GLOBAL = "# @package _global_"
LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def validate(raw: Mapping[str, Any]) -> TrainConfig:
    """Return the checked config.

    Args:
        raw: the composed config, plain values, nested by group.

    Raises:
        ConfigError: the config has problems, one line each.
    """
    problems: list[str] = []
    values = dict(raw)
    for group, choices in CHOICES.items():
        section = raw.get(group)
        name = section.get("name") if isinstance(section, Mapping) else section
        if not isinstance(section, Mapping) or not isinstance(name, str) or name not in choices:
            problems.append(unknown_choice(group, name, choices))
            continue
        schema = choices[name]
        try:
            values[group] = schema.model_validate(dict(section))
        except ValidationError as error:
            problems += [_line(detail, schema, section, group) for detail in error.errors()]
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        problems += [
            _line(detail, TrainConfig, raw)
            for detail in error.errors()
            if detail["loc"][0] not in CHOICES  # reported above, in more detail
        ]
    if isinstance(values.get("task"), Task):
        problems += _task_contradictions(values["task"])
    if not problems:
        problems = _contradictions(config)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return config


def _line(
    detail: ErrorDetails, schema: type[BaseModel], raw: Mapping[str, Any], prefix: str = ""
) -> str:
    location, value = _locate(detail, schema, raw)
    key = ".".join([prefix, *location] if prefix else location)
    if detail["type"] == "extra_forbidden":
        if owners := _owners(prefix, location[-1]):
            return (
                f"{key}={show(detail['input'])}: {prefix}={raw['name']} has no such key; "
                f"it belongs to {' or '.join(f'{prefix}={name}' for name in owners)}"
            )
        others = [] if prefix else CHOICES
        while isinstance(value, Mapping) and len(value) == 1:
            ((leaf, value),) = value.items()
            key = f"{key}.{leaf}"
        if location[0] == "experiment":
            return f"{key}={show(value)}: no such key; an experiment's file begins with {GLOBAL}"
        if "." in location[-1]:
            return f"{key}={show(value)}: no such key; in a file keys are nested, not dotted"
        return unknown_key(key, value, [*keys_of(schema, prefix), *others])
    if detail["type"] == "missing" and len(location) == len(detail["loc"]):
        return f"{key}: is missing; {_allowed(schema, location)}"
    return f"{key}={show(value)}: must be {_allowed(schema, location)}"


def _locate(
    detail: ErrorDetails, schema: type[BaseModel], raw: Mapping[str, Any]
) -> tuple[list[str], Any]:
    """Return a key and its whole value, even if only one item or one union type is wrong."""
    location: list[str] = []
    kind: type[BaseModel] = schema
    value: Any = raw
    for part in detail["loc"]:
        location.append(str(part))
        value = value.get(location[-1], {})
        field = kind.model_fields.get(location[-1])
        nested = field.annotation if field else None
        if not _is_section(nested) or not isinstance(value, Mapping):
            break
        kind = nested
    return location, value


def _is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _owners(group: str, leaf: str) -> list[str]:
    """Return the choices of a group that have a key."""
    choices = CHOICES.get(group, {})
    return [name for name, schema in choices.items() if leaf in schema.model_fields]


def keys_of(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """List the dotted keys of a section and of its subsections.

    Args:
        schema: the section.
        prefix: the section's own dotted key.
    """
    keys = []
    for name, field in schema.model_fields.items():
        if name == "name":  # the choice itself, typed as group=choice
            continue
        key = f"{prefix}.{name}" if prefix else name
        nested = field.annotation
        if _is_section(nested):
            keys += keys_of(nested, key)
        else:
            keys.append(key)
    return keys


def _allowed(schema: type[BaseModel], location: list[str]) -> str:
    nested = schema.model_fields[location[0]].annotation
    if len(location) > 1 and _is_section(nested):
        return _allowed(nested, location[1:])
    return allowed_values(schema, location[0])


def allowed_values(schema: type[BaseModel], name: str) -> str:
    """Describe the allowed values of a knob in words.

    Args:
        schema: the section.
        name: the name of the knob.
    """
    field = schema.model_fields[name]
    kind: Any = field.annotation
    if bool in get_args(kind):
        texts = (value for part in get_args(kind) for value in get_args(part))
        return "one of " + ", ".join(["true", "false", *texts])
    if choices := [value for value in get_args(kind) if isinstance(value, str)]:
        return "one of " + ", ".join(choices)
    names = {
        int: "an integer",
        float: "a finite number",
        bool: "true or false",
        str: "a text",
        str | None: "a text or null",
        Seeds | None: f"a list of integers from 0 to {MAX_SEED}, or null",
    }
    words = names.get(kind, "a mapping" if isinstance(kind, type) else "two integers [from, to)")
    limits = [
        f"{sign} {getattr(constraint, limit)}"
        for constraint in field.metadata
        for limit, sign in LIMITS.items()
        if getattr(constraint, limit, None) is not None
    ]
    return " ".join([words, " and ".join(limits)]).strip()


def _contradictions(config: TrainConfig) -> list[str]:
    """List the problems between several keys."""
    problems = []
    optimizer = config.optimizer
    if isinstance(optimizer, SGD) and optimizer.nesterov and optimizer.momentum == 0:
        problems.append("optimizer.nesterov=true: needs optimizer.momentum > 0, which is 0")
    if isinstance(config.norm, QKNorm) and not config.model.attention:
        problems.append(
            f"norm=qk: needs a model with queries and keys (attn_rnn, attn_rnn_inf), "
            f"not model={config.model.name}"
        )
    if isinstance(config.regularizer, Omega):
        if not isinstance(config.model, ElmanRNN):
            problems.append(f"regularizer=omega: needs model=rnn, not model={config.model.name}")
        if config.norm.name != "none":
            problems.append(f"regularizer=omega: needs norm=none, not norm={config.norm.name}")
    if config.init.forget_bias and config.model.name != "lstm":
        problems.append(
            f"init.forget_bias={config.init.forget_bias:g}: needs model=lstm, "
            f"not model={config.model.name}"
        )
    if isinstance(config.norm, BatchNorm) and config.batch_size < 2:
        problems.append("batch_size=1: norm=batch needs at least 2 sequences")
    if isinstance(config.schedule, WarmupCosine) and config.schedule.warmup_steps >= config.steps:
        problems.append(
            f"schedule.warmup_steps={config.schedule.warmup_steps}: must be below "
            f"steps={config.steps}"
        )
    return problems + _notebook_contradictions(config)


def _task_contradictions(task: Task) -> list[str]:
    problems = [
        f"task.{name}={show(bounds)}: must be [from, to) with from < to"
        for name in ("length", "t1", "t2")
        if (bounds := getattr(task, name))[0] >= bounds[1]
    ]
    if problems:
        return problems
    if task.t1[0] < 1:
        problems.append(f"task.t1={show(task.t1)}: must start at 1 or later, after the B")
    if task.t1[1] > task.t2[0]:
        problems.append(f"task.t2={show(task.t2)}: must start at {task.t1[1]} or later, after t1")
    if task.t2[1] > task.length[0] - 1:
        problems.append(
            f"task.length={show(task.length)}: must start at {task.t2[1] + 1} or later, "
            "so that t2 comes before the E"
        )
    if task.length[1] > 10_001:
        problems.append(f"task.length={show(task.length)}: must end at 10001 or earlier")
    return problems


def _notebook_contradictions(config: TrainConfig) -> list[str]:
    if not isinstance(config.task, Task) or config.task.stream != "notebook":
        return []
    epoch = 1000 // config.batch_size
    needs = f"task.stream=notebook needs epochs of {epoch} batches of {config.batch_size}"
    if epoch == 0:
        return [f"batch_size={config.batch_size}: must be <= 1000 with task.stream=notebook"]
    problems = []
    if config.eval_every % epoch:
        problems.append(f"eval_every={config.eval_every}: must be a multiple of {epoch}; {needs}")
    if config.eval_batches > epoch:
        problems.append(f"eval_batches={config.eval_batches}: must be <= {epoch}; {needs}")
    return problems
