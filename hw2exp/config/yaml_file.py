"""Reads YAML that others have written: plain values, and not more of them than a config has."""

from pathlib import Path
from typing import Any

import yaml

from hw2exp import regular_file
from hw2exp.config.problems import ConfigError
from hw2exp.regular_file import IrregularError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_FILE, LARGEST_TREE, DEEPEST, MOST_REFERENCES = 1 << 20, 10_000, 100, 1000
"""Bytes; values with each alias written out, as a few lines can stand for billions; levels; ``${``.
"""

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def load_yaml(path: Path) -> Any:
    """Read a file as plain values.

    Args:
        path: the file.

    Raises:
        ConfigError: it can't be read, is no YAML, is far larger than a config, or has keys twice or
            keys that are no texts.
    """
    try:
        text = regular_file.read(path, LARGEST_FILE)
        if text.count(b"${") > MOST_REFERENCES or _size(text.decode()) > LARGEST_TREE:
            raise ConfigError([f"{path} is too large for a config"])
        loader = LOADER(text)
        node = loader.get_single_node()
        if problems := _wrong_keys(node):
            raise ConfigError([f"{path}, {problem}" for problem in problems])
        return None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise ConfigError([f"{path} is nested too deep for a config"]) from error
    except IrregularError as error:
        raise ConfigError([f"{path.parent}: {error}"]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{path} can't be read{_why(error)}"]) from error


def _why(error: Exception) -> str:
    """What is wrong with a file, and in which line."""
    match error:
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=mark) if mark is not None:
            return f", line {mark.line + 1}: {problem}"
        case UnicodeDecodeError():
            return f": byte {error.start + 1} is not UTF-8"
        case OSError(strerror=str(reason)):
            return f": {reason}"
    return ""


def _wrong_keys(root: yaml.Node | None) -> list[str]:
    """Keys that stand twice in a mapping, or are no texts, as Hydra has them."""
    problems: dict[str, None] = {}
    seen: set[int] = set()
    open_nodes = [root]
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            open_nodes += node.value
            continue
        keys: set[str] = set()
        for key, value in node.value:
            open_nodes.append(value)
            about = f"line {key.start_mark.line + 1}: "
            if not _is_text(key):
                problems[f"{about}a key must be a text"] = None
            elif key.value in keys and key.tag != MERGE:
                problems[f"{about}{key.value} stands there twice"] = None
            else:
                keys.add(key.value)
    return list(problems)


def _is_text(key: yaml.Node) -> bool:
    if not isinstance(key, yaml.ScalarNode):
        return False
    if key.style in ("'", '"') or key.tag == MERGE:
        return True
    try:
        float(key.value)  # Hydra's loader takes 1e3 for a number, others for a text
    except ValueError:
        return bool(key.tag == TEXT)
    return False


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
