"""What is wrong with an input, as lines for people: key, value, what is allowed, nearest match."""

from argparse import ArgumentParser
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from pydantic import ValidationError

LONGEST_WORD = 200


class ConfigError(Exception):
    """An input that can't be run, with all of its problems.

    Args:
        problems: one line each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [printable(problem) for problem in problems]
        super().__init__("; ".join(self.problems))


def printable(text: str) -> str:
    """Write on one line, and so that the terminal stays as it is; endless words are shortened.

    Args:
        text: anything.
    """
    return " ".join(
        word if len(word) <= LONGEST_WORD else f"{word[:60]}…{word[-20:]}"
        for word in map(visible, text.split())
    )


def visible(text: str, kept: str = "") -> str:
    """Write letters that would act on a terminal, or that nobody sees, as they stand in code.

    Args:
        text: anything.
        kept: those that stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def in_one_line(parser: ArgumentParser) -> ArgumentParser:
    """Let a parser tell of wrong flags as of other bad input, without its usage.

    Args:
        parser: raises a :class:`ConfigError` from now on.
    """

    def refuse(message: str) -> NoReturn:
        raise ConfigError([f"{message}; see --help"])

    parser.error = refuse  # type: ignore[method-assign]
    return parser


def faults(error: ValidationError) -> list[str]:
    """Say what is wrong with the content of a file.

    Args:
        error: what its check has found.
    """
    return [
        f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
        for each in error.errors(include_url=False)
    ]


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the allowed word that is meant, or list those that are allowed.

    Args:
        word: what was written.
        allowed: what could have been meant.
    """
    candidates = sorted(allowed)
    matches = get_close_matches(word, candidates, n=1, cutoff=0.75)
    if not matches:  # a leaf of a dotted key may be right though its path isn't
        leaf = word.rpartition(".")[2]
        matches = [key for key in candidates if key.rpartition(".")[2] == leaf][:1]
    if matches:
        return f"did you mean {matches[0]}?"
    return f"allowed: {', '.join(candidates) or 'none'}"


def unknown_key(key: str, value: object, allowed: Iterable[str]) -> str:
    """Say that there is no such key.

    Args:
        key: the dotted key.
        value: what was given for it.
        allowed: the dotted keys there are.
    """
    return f"{key}={show(value)}: no such key; {nearest(key, allowed)}"


def unknown_choice(group: str, value: object, allowed: Iterable[str]) -> str:
    """Say that a group has no such choice.

    Args:
        group: the group.
        value: the choice that was given.
        allowed: the choices there are.
    """
    names = sorted(allowed)
    close = get_close_matches(str(value).lower(), names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{group}={show(value)}: no such choice; {meant}allowed: {', '.join(names)}"


def show(value: Any) -> str:
    """Write a value as it would be typed in an override.

    Args:
        value: a plain value.
    """
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case list() | tuple():
            text = "[" + ",".join(show(item) for item in value) + "]"
        case dict():
            text = "{" + ",".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
        case str() if value.isascii() and _is_number(value):
            text = f"'{value}'"
        case _:
            text = str(value)
    return " ".join(text.split())


def counted(count: int, noun: str) -> str:
    """Write how many things there are.

    Args:
        count: how many.
        noun: what one is called.
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
