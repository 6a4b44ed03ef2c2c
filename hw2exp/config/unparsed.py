"""Explain in plain words why a line is no override: Hydra's parser speaks of tokens."""

import re
from collections.abc import Iterator

JARGON = re.compile(
    r"mismatched input|extraneous input|no viable alternative|token recognition|missing \S+ at"
)
"""Phrases of Hydra's and OmegaConf's parsers for an unexpected letter."""

KEY = re.compile(r"(\+{0,2}|~)[A-Za-z0-9_$./@:-]*")
PLAIN = re.compile(r"[A-Za-z0-9_/\\+.$%*@?|:, \t-]")
"""Letters of a value without quotes or brackets."""

CLOSES = {"(": ")", "[": "]", "{": "}"}
BESIDE_NOTHING = re.compile(r"(^|[,(\[{])\s*,|,\s*($|[)\]}])")
CALL = re.compile(r"\w+ while evaluating '(?P<call>.*?)': (?P<why>.*)", re.DOTALL)
FUNCTION = re.compile(r"Unknown function '(\w+)'\s+Available: ?(\S+)")
LONGEST = 60
"""Longest value, in letters, of a suggested override."""


def why_unparsed(line: str, message: str) -> str:
    """Explain why a line is no override, and how to type it.

    Args:
        line: the line as typed.
        message: the message of Hydra's parser, on one line.
    """
    key, equals, value = line.partition("=")
    if call := CALL.fullmatch(message):
        if unknown := FUNCTION.search(call["why"]):
            functions = ", ".join(unknown[2].split(","))
            return f"no function is called {unknown[1]}; allowed: {functions}{_quote(key, value)}"
        return f"{call['call']}: {call['why']}"
    if not JARGON.search(message):
        return message
    if not equals:
        return "must be KEY=VALUE"
    if key != key.strip():
        return "there must be no space before the ="
    if not KEY.fullmatch(key):
        return "a key has letters a to z, digits, _ and dots only"
    return f"{_wrong_value(value)}{_quote(key, value)}"


def why_not_interpolated(message: str) -> str:
    """Explain in plain words why a value with ``${...}`` can't be read."""
    return "must be ${KEY} or ${NAME:ARGUMENT}, closed by }" if JARGON.search(message) else message


def _wrong_value(value: str) -> str:
    """Describe the first problem of a value."""
    open_brackets: list[str] = []
    for letter in _outside_quotes(value):
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


def _outside_quotes(value: str) -> Iterator[str]:
    """Yield the letters of a value outside quotes, unclosed quotes included."""
    rest = re.sub(r"\\.", "", value)
    rest = re.sub(r"(?<![\w])(['\"]).*?\1", "", rest)
    yield from rest


def _quote(key: str, value: str) -> str:
    """Suggest how to type a text in a shell, if that is simple."""
    if value[:1] in ("", "[", "{") or set(value) & set("'\"$`\\!") or len(value) > LONGEST:
        return ""
    return f"; for a text, type \"{key}='{value.strip()}'\""
