"""Read claims from a file, which holds only data; report each problem in a line."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hw2exp.compare.measures import MEASURES, check_measures, measure_of
from hw2exp.compare.sides import Side, read_conditions
from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import OPERATIONAL
from hw2exp.config.validation import all_knobs
from hw2exp.config.yaml_file import load_yaml
from hw2exp.report.arm_claims import ArmsClaim
from hw2exp.system.problems import (
    ConfigError,
    is_number,
    nearest,
    show,
    unknown_choice,
    unknown_key,
)

CLAIMS_FILE = "claims.yaml"

LONGEST = 500
"""Most characters of a claim's part, and of its words."""


class _Entry(BaseModel):
    """A claim in the file, see :class:`ArmsClaim`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    part: str = Field(min_length=1, max_length=LONGEST)
    words: str = Field(min_length=1, max_length=LONGEST)
    arms: str | list[str] = Field(min_length=1)
    against: str | list[str] = Field(min_length=1)
    measure: str = "spikes"
    rule: Literal["less", "more"]
    by: list[str] = []
    same_rate: bool = False
    divergence_decides: bool = False


def own_claims(folder: Path, path: Path | None) -> list[ArmsClaim]:
    """Return the claims of a file, by default of the folder's ``claims.yaml``, if it has one.

    Raises:
        ConfigError: the file can't be read, or holds invalid claims.
    """
    if path is None:
        path = folder / CLAIMS_FILE
        if not os.path.lexists(path):
            return []
    return read_claims(path)


def read_claims(path: Path) -> list[ArmsClaim]:
    """Read a file of claims.

    Raises:
        ConfigError: the file can't be read, or holds invalid claims; with a line for each problem.
    """
    content = load_yaml(path)
    listed = content.get("claims") if isinstance(content, Mapping) else None
    if not isinstance(listed, list) or not listed or len(content) > 1:
        raise ConfigError([f"{path}: must hold claims, a list, and nothing else"])
    found: dict[str, ArmsClaim] = {}
    problems: list[str] = []
    for number, values in enumerate(listed, 1):
        words = values.get("words") if isinstance(values, Mapping) else None
        own = words if isinstance(words, str) else None
        name = f"{path}: “{own}”" if own else f"{path}: claim {number}"
        if own in found:
            problems.append(f"{name}: words: stand there twice")
            continue
        try:
            entry = _Entry.model_validate(values)
            if own_problems := list(_problems(entry)):
                problems += [f"{name}: {problem}" for problem in own_problems]
                continue
            found[entry.words] = ArmsClaim(
                entry.part, entry.words, _side(entry.arms), _side(entry.against),
                entry.measure, entry.rule == "less", entry.by, entry.same_rate,
                entry.divergence_decides,
            )  # fmt: skip
        except ValidationError as error:
            problems += [f"{name}: {line}" for line in _faults(error)]
    if problems:
        raise ConfigError(problems)
    return [*found.values()]


def _side(words: str | list[str]) -> Side:
    return Side([read_conditions(each) for each in ([words] if isinstance(words, str) else words)])


def _faults(error: ValidationError) -> Iterator[str]:
    """Describe the wrong values of a claim."""
    allowed = ", ".join(_Entry.model_fields)
    for each in error.errors(include_url=False):
        key = ".".join(str(part) for part in each["loc"] if part not in ("str", "list[str]"))
        match each["type"]:
            case "extra_forbidden":
                yield unknown_key(key, each["input"], _Entry.model_fields)
            case "missing":
                yield f"{key}: is missing; a claim has {allowed}"
            case "literal_error":
                yield f"{key}={show(each['input'])}: must be {each['ctx']['expected']}"
            case _ if not key:
                yield f"must be a mapping with {allowed}"
            case _:
                yield f"{key}={show(each['input'])}: {each['msg']}"


def _problems(entry: _Entry) -> Iterator[str]:
    """Yield the problems of a claim whose form is right."""
    types = {key: schema.model_fields[name].annotation for key, schema, name in all_knobs()}
    known = {*CHOICES, *types}
    known = {key for key in known if key.partition(".")[0] not in {*OPERATIONAL, "seed"}}
    for key in entry.by:
        if key not in known:
            yield f"by={key}: no such key; {nearest(key, known)}"
    for name, words in (("arms", entry.arms), ("against", entry.against)):
        try:
            conditions = _side(words).conditions
        except ConfigError as error:
            yield f"{name}={show(words)}: {error}"
            continue
        for each in conditions:
            if each.key not in known:
                yield f"{name}: {each}: no such key; {nearest(each.key, known)}"
            for value in each.values if each.key in CHOICES and each.key in known else ():
                if value not in CHOICES[each.key]:
                    yield f"{name}: {unknown_choice(each.key, value, CHOICES[each.key])}"
            for value in each.values if types.get(each.key) in (int, float) else ():
                if not is_number(value):
                    yield f"{name}: {each.key}={value}: must be a number"
    try:
        check_measures([entry.measure], "measure")
    except ConfigError as error:
        yield str(error)
        return
    if entry.divergence_decides and not measure_of(entry.measure).cut_short:
        short = ", ".join(name for name, own in MEASURES.items() if own.cut_short)
        yield f"divergence_decides=true: has no effect on measure={entry.measure}; only on {short}"
