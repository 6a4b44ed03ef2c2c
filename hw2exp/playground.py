"""Run the command ``python -m hw2exp.playground``: write a page in which two networks train.

The page is one file that needs no other: its scripts and styles are inlined.
"""

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from hw2exp.config.folder import asked_for, check_path, typed_path
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo

SOURCES = "hw2exp.playground_page"
PAGE = "playground.html"

SCRIPT = re.compile(r'<script(?P<kind>[^>]*) src="(?P<name>[a-z_]+\.js)"></script>')
STYLE = re.compile(r'<link rel="stylesheet" href="(?P<name>[a-z_]+\.css)">')


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if the page can't be written, 2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        path = _checked(arguments.page)
        with asked_for(str(path)):
            disk.write(path, page().encode())
    except (ConfigError, OSError) as error:
        return failed(error)
    echo(f"{path}: open it in a browser; it needs no network")
    return 0


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.playground",
        "Write a page of one file, in which two networks train before one's eyes, offline.",
    )
    parser.add_argument(
        "page", type=typed_path, nargs="?", default=PAGE, metavar="OUT.html",
        help=f"where to write it; by default ./{PAGE}",
    )  # fmt: skip
    return parser


def _checked(word: str) -> Path:
    """Return the page's path; an existing page will be replaced.

    Raises:
        ConfigError: no page can be written there.
    """
    path = Path(word)
    check_path(path, word)
    if path.suffix != ".html":
        raise ConfigError([f"{word!r}: must be a file's name that ends in .html"])
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConfigError([f"{word}: is there and no file; must be another name"])
    if not path.parent.is_dir():
        raise ConfigError([f"{word}: no folder {path.parent}"])
    return path


def page() -> str:
    """Return the page, with all scripts and styles inlined."""
    html = source("page.html")
    html = STYLE.sub(lambda tag: f"<style>\n{source(tag['name'])}</style>", html)
    return SCRIPT.sub(lambda tag: f"<script{tag['kind']}>\n{source(tag['name'])}</script>", html)


def source(name: str) -> str:
    """Return the text of one of the page's files."""
    return (files(SOURCES) / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    process(main)
