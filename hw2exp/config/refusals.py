"""Turn the refusals of Hydra and OmegaConf into errors of one line, in plain words."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hw2exp.config.trusted import callable_resolvers
from hw2exp.system.problems import ConfigError

T = TypeVar("T")

REFUSALS = (HydraException, OmegaConfBaseException, ValueError, AssertionError, AttributeError,
            ArithmeticError, RecursionError)  # fmt: skip
"""Exceptions of Hydra and OmegaConf on bad input."""

JARGON = re.compile(
    r"mismatched input|extraneous input|no viable alternative|token recognition|missing \S+ at"
)
"""Phrases of Hydra's and OmegaConf's parsers for an unexpected letter."""

MERGING = "Error merging override "
"""Beginning of Hydra's message in cases where OmegaConf's own tells why."""

APPENDING = re.compile(r"Could not override '.*'\.\s+To append to your config use \+(?P<line>.*)")
"""Hydra's message about an unknown key, such as ``task.1``."""

KEY = re.compile(r"(\+{0,2}|~)[A-Za-z0-9_$./@:-]*")
PLAIN = re.compile(r"[A-Za-z0-9_/\\+.$%*@?|:, \t-]")
"""Letters of a value without quotes or brackets."""

CLOSES = {"(": ")", "[": "]", "{": "}"}
BESIDE_NOTHING = re.compile(r"(^|[,(\[{])\s*,|,\s*($|[)\]}])")
CALL = re.compile(r"\w+ while evaluating '(?P<call>.*?)': (?P<why>.*)", re.DOTALL)
FUNCTION = re.compile(r"Unknown function '(\w+)'\s+Available: ?(\S+)")
LONGEST = 60
"""Longest value, in letters, of a suggested override."""


def one_error(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function of Hydra, and turn its refusal into an error of one line.

    Args:
        function: the function.
        args: its arguments.
        kwargs: its keyword arguments.

    Raises:
        ConfigError: Hydra refused the input.
    """
    try:
        return function(*args, **kwargs)
    except REFUSALS as error:
        raise ConfigError([one_line(error)]) from error


def one_line(error: Exception) -> str:
    """Return an error's message on one line, without Hydra's jargon."""
    if not str(error) and isinstance(error.__cause__, Exception):
        return one_line(error.__cause__)
    text = str(error)
    if text.startswith(MERGING) and isinstance(error.__cause__, Exception):
        why = str(error.__cause__).partition("\n")[0]
        text = f"{text.removeprefix(MERGING)}: {why}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        why = text.partition("\n    full_key")[0]
        if JARGON.search(why):
            why = "must be ${KEY} or ${NAME:ARGUMENT}, closed by }"
        text = f"{error.full_key}: {why}"
    if unknown := APPENDING.fullmatch(text):
        text = f"{unknown['line']}: no such key; must be one that --help lists"
    if "Unsupported interpolation type" in text:
        text += f"; allowed: {', '.join(callable_resolvers())}"
    text = text.partition("Config search path:")[0]  # the search path is of no help here
    return " ".join(text.split())


def why_unparsed(line: str, error: Exception) -> str:
    """Explain why a line is no override, and how to type it; or why a function refuses its values.

    Args:
        line: the line as typed.
        error: the error of Hydra's parser.
    """
    message = one_line(error)
    key, equals, value = line.partition("=")
    if call := CALL.fullmatch(message):
        if unknown := FUNCTION.search(call["why"]):
            functions = ", ".join(unknown[2].split(","))
            return f"no function is called {unknown[1]}; allowed: {functions}{_quote(key, value)}"
        where = "" if call["call"] == value else f"{call['call']}: "
        return f"{where}{call['why']}"
    return f"not an override; {_why_none(key, equals, value, message)}"


def _why_none(key: str, equals: str, value: str, message: str) -> str:
    """Explain what is wrong with the form of an override; ``message`` is the parser's."""
    if not JARGON.search(message):
        return message
    if not equals:
        return "must be KEY=VALUE"
    if key != key.strip():
        return "there must be no space before the ="
    if not KEY.fullmatch(key):
        return "a key has letters a to z, digits, _ and dots only"
    return f"{_wrong_value(value)}{_quote(key, value)}"


def _wrong_value(value: str) -> str:
    """Describe the first problem of a value, outside its closed quotes."""
    open_brackets: list[str] = []
    without_escapes = re.sub(r"\\.", "", value)
    for letter in re.sub(r"(?<![\w])(['\"]).*?\1", "", without_escapes):
        if letter in "'\"":
            return f"a quote {letter} is not closed"
        if letter in CLOSES:
            open_brackets.append(letter)
        elif letter in CLOSES.values() and letter != CLOSES.get((open_brackets or [""]).pop()):
            return f"a {letter} closes nothing"
    if open_brackets:
        return f"a {open_brackets[-1]} is not closed"
    if BESIDE_NOTHING.search(value):
        return "a comma has nothing beside it"
    strange = next((letter for letter in value if not PLAIN.match(letter)), None)
    return "the value can't be read" if strange is None else f"a text with {strange} needs quotes"


def _quote(key: str, value: str) -> str:
    """Suggest how to type a text in a shell, if that is simple."""
    if value[:1] in ("", "[", "{") or set(value) & set("'\"$`\\!") or len(value) > LONGEST:
        return ""
    return f"; for a text, type \"{key}='{value.strip()}'\""
