"""Read untrusted YAML: plain values, no more of them than a config has; list them by key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from hw2exp.system import regular_file
from hw2exp.system.problems import ConfigError
from hw2exp.system.regular_file import IrregularError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_FILE, LARGEST_TREE, DEEPEST, MOST_REFERENCES = 1 << 20, 10_000, 100, 1000
"""Limits of a file: bytes; values, with aliases expanded (a few lines can hold billions); levels of
nesting; and references ``${``."""

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def load_yaml(path: Path) -> Any:
    """Read a file as plain values.

    Raises:
        ConfigError: the file can't be read, is no YAML, is far larger than a config, or has
            duplicate keys or keys that are no texts.
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


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and the values of nested mappings; an empty one is a value.

    Args:
        value: plain values, nested.
        key: the dotted key of the value itself.
    """
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from leaves(below, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _why(error: Exception) -> str:
    """Describe an error of reading, with the line if known."""
    match error:
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=mark) if mark is not None:
            return f", line {mark.line + 1}: {problem}"
        case UnicodeDecodeError():
            return f": byte {error.start + 1} is not UTF-8"
        case OSError(strerror=str(reason)):
            return f": {reason}"
    return ""


def _wrong_keys(root: yaml.Node | None) -> list[str]:
    """List duplicate keys of a mapping, and keys that Hydra would not read as texts."""
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
        float(key.value)  # Hydra's loader reads 1e3 as a number, others as a text
    except ValueError:
        return bool(key.tag == TEXT)
    return False


def _size(text: str) -> int:
    """Count the values of a document with all aliases expanded.

    Raises:
        RecursionError: more levels than a recursive parser can take.
    """
    sizes = [0]  # so far, of the document and of each open collection in it
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
                anchors[event.anchor] = LARGEST_TREE  # an alias within its own anchor: infinite
            case yaml.CollectionEndEvent():
                size = sizes.pop()
                anchors[open_anchors.pop()] = size
                sizes[-1] += size
    return sizes[0]
