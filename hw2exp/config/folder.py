"""Where results go: a folder that can be made, that holds none yet, and that nobody else takes."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from hw2exp import disk
from hw2exp.config.problems import ConfigError

RESULT = "result.json"
CHECKPOINTS, STEP = "checkpoints", "step_"
LONGEST_NAME = 255
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""What the system says where the disk is the problem, and not the folder that was asked for."""


@contextmanager
def asked_for(what: str) -> Iterator[None]:
    """Take for bad input what the system refuses, unless the disk is the problem.

    Args:
        what: the key and the value that ask for it.

    Raises:
        ConfigError: what was asked for can't be.
        OSError: the disk is full, read-only or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK:
            raise
        raise ConfigError([f"{what}: {error.strerror}"]) from error


def at_home(path: str, what: str = "") -> str:
    """Write out the ``~`` that a path begins with: a shell leaves it where a word is quoted.

    Args:
        path: as typed.
        what: the key that names it, with its equals sign.

    Raises:
        ConfigError: there is no such home.
    """
    written = os.path.expanduser(path)
    if written.startswith("~"):
        raise ConfigError([f"{what}{path}: no such home; ./{path} is a folder of that name"])
    return written


def check_path(path: Path, what: str) -> None:
    """Refuse what can't be the path of a folder.

    Args:
        path: the path.
        what: the key and the value that say so.

    Raises:
        ConfigError: it can't be.
    """
    if any(ord(letter) < 32 or letter == "\x7f" for letter in str(path)):
        raise ConfigError([f"{what}: has control characters; must be a folder's name"])
    if any(len(os.fsencode(name)) > LONGEST_NAME for name in path.parts):
        raise ConfigError([f"{what}: has a name of more than {LONGEST_NAME} bytes"])
    try:
        path.exists()
    except OSError as error:  # too long, or below what nobody may enter
        raise ConfigError([f"{what}: {error.strerror}"]) from error


def check_there(folder: Path, what: str) -> None:
    """Refuse what is no folder.

    Args:
        folder: the path.
        what: the key and the value that say so.

    Raises:
        ConfigError: it isn't there, or is something else.
    """
    check_path(folder, what)
    if not folder.is_dir():
        raise ConfigError([f"{what}: {'not a' if folder.exists() else 'no such'} folder"])


def check_folder(folder: Path, key: str, explicit: bool) -> None:
    """Refuse a folder that can't be made, or that a run has written to.

    One rule for runs and sweeps: only ``resume`` goes on where results or checkpoints are.

    Args:
        folder: the folder.
        key: which key says so, ``hydra.run.dir`` or ``hydra.sweep.dir``.
        explicit: it was typed; else it is the default, named after the time.

    Raises:
        ConfigError: with what is wrong.
    """
    what = f"{key}={folder}"
    check_path(folder, what)
    if folder.name.startswith(".") and folder.suffix == disk.PART:
        raise ConfigError([f"{what}: is named like what is not whole; must be another name"])
    parent = next(path for path in chain([folder], folder.absolute().parents) if path.exists())
    if not parent.is_dir():
        raise ConfigError([f"{what}: {parent} is a file; must be a folder"])
    if not explicit:
        return
    here = Path.cwd().resolve()
    if here.is_relative_to(folder.resolve()):
        is_it = "is" if here == folder.resolve() else "holds"
        raise ConfigError(
            [f"{what}: {is_it} the current folder; must be one for the results alone"]
        )
    if (found := _of_a_run(folder)) is not None:
        kind = "results" if found.name == RESULT else "a run's checkpoints"
        where = "" if found.parent == folder else f" in {found.parent}"
        raise ConfigError(
            [f"{what}: holds {kind}{where}; must be a new folder, or go on with resume={folder}"]
        )


def _of_a_run(folder: Path) -> Path | None:
    """Find a result or checkpoints in a folder, however deep: jobs may have nested folders."""
    for root, folders, files in os.walk(folder):
        if RESULT in files:
            return Path(root, RESULT)
        saved = Path(root, CHECKPOINTS)
        if CHECKPOINTS in folders and any(saved.glob(f"{STEP}*")):
            return saved
        folders[:] = [name for name in folders if not name.startswith(".")]
    return None


def reserve(folder: Path, key: str, explicit: bool) -> Path:
    """Make the folder, so that no other process takes it.

    Args:
        folder: the folder.
        key: which key says so.
        explicit: it was typed, and is taken as it is; else a number is added while it is taken.

    Raises:
        ConfigError: it can't be made.
        OSError: the disk is full, read-only or broken.
    """
    with asked_for(f"{key}={folder}: can't be made"):
        if explicit:
            disk.make_folder(folder)
            return folder
        disk.make_folder(folder.parent)
        for candidate in _candidates(folder):
            try:
                disk.new_folder(candidate)
            except FileExistsError:
                continue
            return candidate
    raise AssertionError("count never ends")


def _candidates(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}_{number}") for number in count(2))
