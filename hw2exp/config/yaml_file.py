"""Reads YAML that others have written: plain values, and not more of them than a config has."""

from pathlib import Path
from typing import Any

import yaml

from hw2exp.config.problems import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_FILE, LARGEST_TREE, DEEPEST = 1 << 20, 10_000, 100
"""Bytes; values when each reference is written out, as a few lines can stand for billions; levels.
"""


def load_yaml(path: Path) -> Any:
    """Read a file as plain values.

    Args:
        path: the file.

    Raises:
        ConfigError: it can't be read, is no YAML, or is far larger than a config.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE or _size(text.decode()) > LARGEST_TREE:
            raise ConfigError([f"{path} is too large for a config"])
        return yaml.load(text, LOADER)
    except RecursionError as error:
        raise ConfigError([f"{path} is nested too deep for a config"]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{path} can't be read"]) from error


def _size(text: str) -> int:
    """How many values a document has when each reference is written out.

    Raises:
        RecursionError: more levels than a parser that calls itself can take.
    """
    sizes = [0]  # so far, of what is open: the document, and in it each collection
    open_anchors: list[str | None] = []
    anchors: dict[str | None, int] = {}
    for event in yaml.parse(text, LOADER):
        match event:
            case yaml.AliasEvent():
                sizes[-1] += anchors.get(event.anchor, 0)
            case yaml.ScalarEvent():
                sizes[-1] += 1
                anchors[event.anchor] = 1
            case yaml.CollectionStartEvent():
                if len(sizes) > DEEPEST:
                    raise RecursionError
                sizes.append(1)
                open_anchors.append(event.anchor)
                anchors[event.anchor] = LARGEST_TREE  # a reference to what is around it never ends
            case yaml.CollectionEndEvent():
                size = sizes.pop()
                anchors[open_anchors.pop()] = size
                sizes[-1] += size
    return sizes[0]
