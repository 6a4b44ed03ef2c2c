"""Turn a plain nested dict into a checked ``TrainConfig``; report all problems at once."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hw2exp.config.groups import MAX_SEED, Seeds
from hw2exp.config.knob import Section
from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.system.problems import ConfigError, show, unknown_choice, unknown_key

GLOBAL = "# @package _global_"
WITHOUT_CODE = "WithoutCode"
"""The name of the class of a section whose code is not known."""

LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def validate(raw: Mapping[str, Any], shown: bool = False) -> TrainConfig:
    """Return the checked config.

    Args:
        raw: the composed config, plain values, nested by group.
        shown: whether the config is only shown, so that choices without code are allowed.

    Raises:
        ConfigError: the config has problems, one line each.
    """
    problems: list[str] = []
    unknown: list[str] = []  # choices without code, reported only with other problems
    values = dict(raw)
    for group, choices in CHOICES.items():
        section = raw.get(group)
        name = section.get("name") if isinstance(section, Mapping) else section
        known = isinstance(name, str) and (shown or name in choices)
        if not isinstance(section, Mapping) or not isinstance(name, str) or not known:
            problems.append(unknown_choice(group, name, choices))
            continue
        if name not in choices:
            unknown.append(unknown_choice(group, name, choices))
        schema = choices[name] if name in choices else without_code(group)
        try:
            values[group] = schema.model_validate(dict(section))
        except ValidationError as error:
            problems += _lines(error, schema, section, group)
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        problems += [
            _line(detail, TrainConfig, raw)
            for detail in error.errors()
            if detail["loc"][0] not in CHOICES  # reported above, in more detail
        ]
    if not problems and not codeless(config):  # such runs have ended; a rule may need the code
        parts = [part for _, part in config if isinstance(part, Section)]
        problems = [line for part in parts for line in part.contradictions(config)]
    if problems:
        raise ConfigError(dict.fromkeys([*unknown, *problems]))
    return config


@cache
def without_code(group: str) -> type[BaseModel]:
    """Return the section of a group's choices whose code is not known: it takes any key."""
    base: Any = TrainConfig.model_fields[group].annotation
    unknown = {"classes": ""} if group == "task" else {}
    own: type[BaseModel] = type(
        WITHOUT_CODE, (base,), unknown | {"model_config": {"extra": "allow"}}
    )
    return own


def codeless(config: TrainConfig) -> list[str]:
    """Return the choices of a config whose code is not known, such as ``model=leaky_rnn``."""
    chosen = ((group, getattr(config, group)) for group in CHOICES)
    return [f"{group}={own.name}" for group, own in chosen if type(own).__name__ == WITHOUT_CODE]


def _lines(
    error: ValidationError, schema: type[BaseModel], raw: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for detail in error.errors():
        if detail["type"] == "value_error":  # found by a validator of the section
            yield from str(detail["ctx"]["error"]).splitlines()
        else:
            yield _line(detail, schema, raw, prefix)


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
    """Return the path of a wrong key and its whole value, even if only one item of it is wrong."""
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


def knobs(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield the knobs of a section and of its subsections: dotted key, own section and name.

    Args:
        schema: the section.
        prefix: the section's own dotted key.
    """
    for name, field in schema.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        if _is_section(field.annotation):
            yield from knobs(field.annotation, key)
        elif name != "name":  # the choice itself, typed as group=choice
            yield key, schema, name


def all_knobs() -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield the knobs of the config and of every choice, see :func:`knobs`."""
    yield from knobs(TrainConfig)
    for group, choices in CHOICES.items():
        for each in choices.values():
            yield from knobs(each, group)


def keys_of(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """List the dotted keys of :func:`knobs`."""
    return [key for key, _, _ in knobs(schema, prefix)]


def unfit(raw: Mapping[str, Any], group: str = "") -> Iterator[str]:
    """Return the problems of mappings in the place of lists, and of lists in that of mappings.

    Hydra can't merge the two, and doesn't say what is allowed.

    Args:
        raw: plain values, nested by group.
        group: the dotted key of the values.
    """
    places = {key: (schema, name) for key, schema, name in all_knobs()}

    def look(key: str, value: Any) -> Iterator[str]:
        if isinstance(value, Mapping) and key in places:
            yield f"{key}={show(value)}: must be {allowed_values(*places[key])}"
        elif isinstance(value, Mapping):
            for name, below in value.items():
                yield from look(f"{key}.{name}" if key else name, below)
        elif isinstance(value, list) and any(place.startswith(f"{key}.") for place in places):
            yield f"{key}={show(value)}: must be a mapping"

    return look(group, raw)


def _allowed(schema: type[BaseModel], location: list[str]) -> str:
    nested = schema.model_fields[location[0]].annotation
    if len(location) > 1 and _is_section(nested):
        return _allowed(nested, location[1:])
    return allowed_values(schema, location[0])


def allowed_values(schema: type[BaseModel], name: str) -> str:
    """Describe the allowed values of a knob in words."""
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
        list[str]: "a list of texts",
        Seeds | None: f"a list of integers from 0 to {MAX_SEED}, or null",
    }
    words = names.get(kind, "a mapping" if isinstance(kind, type) else "two integers [from, to)")
    if any(getattr(constraint, "pattern", None) for constraint in field.metadata):
        words = f"{words}: {field.description}"
    limits = [
        f"{sign} {getattr(constraint, limit)}"
        for constraint in field.metadata
        for limit, sign in LIMITS.items()
        if getattr(constraint, limit, None) is not None
    ]
    return " ".join([words, " and ".join(limits)]).strip()
