"""Describe wrong inputs in a line each: key, value, allowed values, nearest match."""

from argparse import ArgumentParser
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from pydantic import ValidationError

LONGEST_WORD = 200

FEW = 3
"""Most values of a key of which each is named with the same problem."""


class ConfigError(Exception):
    """An input that can't be run, with all of its problems."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = _gathered([printable(problem) for problem in problems])
        super().__init__(self.problems)  # pickle calls the class with these

    def __str__(self) -> str:
        return "; ".join(self.problems)


def _gathered(problems: list[str]) -> list[str]:
    """Name the first value only where a key has the same problem with many values."""
    alike: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        key, _, rest = problem.partition("=")
        alike.setdefault((key, rest.partition(": ")[2]), []).append(problem)
    lines = []
    for (_, why), same in alike.items():
        many = why and len(same) > FEW
        lines += [f"{same[0]} (and {len(same) - 1} more values)"] if many else same
    return lines


def printable(text: str) -> str:
    """Join a text into one line, escape unprintable letters, and shorten long words."""
    return " ".join(
        word if len(word) <= LONGEST_WORD else f"{word[:60]}…{word[-20:]}"
        for word in map(visible, text.split())
    )


def visible(text: str, kept: str = "") -> str:
    """Escape letters that control a terminal or are invisible, except those to be kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def in_one_line(parser: ArgumentParser) -> ArgumentParser:
    """Let a parser raise a :class:`ConfigError` on wrong flags, instead of printing its usage."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError([f"{message}; see --help"])

    parser.error = refuse  # type: ignore[method-assign]
    return parser


def faults(error: ValidationError) -> list[str]:
    """Describe the problems of a file's content, in a line each."""
    return [
        f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
        for each in error.errors(include_url=False)
    ]


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the nearest allowed word, or list the allowed words."""
    candidates = sorted(allowed)
    matches = get_close_matches(word, candidates, n=1, cutoff=0.75)
    if not matches:  # the leaf of a dotted key may be right, its path wrong
        leaf = word.rpartition(".")[2]
        matches = [key for key in candidates if key.rpartition(".")[2] == leaf][:1]
    if matches:
        return f"did you mean {matches[0]}?"
    return f"allowed: {', '.join(candidates) or 'none'}"


def unknown_key(key: str, value: object, allowed: Iterable[str]) -> str:
    """Describe an unknown key."""
    return f"{key}={show(value)}: no such key; {nearest(key, allowed)}"


def unknown_choice(group: str, value: object, allowed: Iterable[str], own: bool = True) -> str:
    """Describe an unknown choice of a group; ``own`` says if a user's module may add choices."""
    names = sorted(allowed)
    close = get_close_matches(str(value).lower(), names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    mine = own and isinstance(value, str)
    more = "; one of your own needs --import MODULE" if mine else ""
    return f"{group}={show(value)}: no such choice; {meant}allowed: {', '.join(names)}{more}"


def show(value: Any) -> str:
    """Format a value as typed in an override."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case list() | tuple():
            text = "[" + ",".join(show(item) for item in value) + "]"
        case dict():
            text = "{" + ",".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
        case str() if value.isascii() and is_number(value):
            text = f"'{value}'"
        case _:
            text = str(value)
    return " ".join(text.split())


def counted(count: int, noun: str) -> str:
    """Format a number of things, such as ``1,000 steps``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def is_number(text: str) -> bool:
    """Return whether a text is a number as Python reads it."""
    try:
        float(text)
    except ValueError:
        return False
    return True
