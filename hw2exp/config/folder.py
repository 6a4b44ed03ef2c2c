"""Check folders that a command names, and reserve the folder of the results.

For the messages, ``key`` is the key that sets a folder, and ``what`` is the key with its value.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import chain, count
from pathlib import Path

from hw2exp.config.run_files import CHECKPOINT_BEGINS, CHECKPOINTS, OWN_NAMES, PACKED, RESULT
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError

LONGEST_NAME = 255
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of the disk, as opposed to a bad folder name."""


@contextmanager
def asked_for(what: str) -> Iterator[None]:
    """Turn errors of the system into bad input, unless the disk is the problem.

    Raises:
        ConfigError: the system refused the input.
        OSError: the disk is full, read-only or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK:
            raise
        raise ConfigError([f"{what}: {error.strerror}"]) from error


def at_home(path: str, prefix: str = "") -> str:
    """Expand the leading ``~`` of a path, which a shell keeps in a quoted word.

    Args:
        path: the path as typed.
        prefix: the text before it in the message, such as ``resume=``.

    Raises:
        ConfigError: no such home.
    """
    written = os.path.expanduser(path)
    if written.startswith("~"):
        raise ConfigError([f"{prefix}{path}: no such home; ./{path} is a folder of that name"])
    return written


def typed_path(path: str) -> str:
    """Return a path that was typed as an argument, see :func:`at_home`.

    Raises:
        ConfigError: it is empty, which would stand for the current folder; or no such home.
    """
    if not path:
        raise ConfigError(["'': must be a path"])
    return at_home(path)


def check_path(path: Path, what: str) -> None:
    """Refuse a path that can't be a folder's.

    Raises:
        ConfigError: the path is impossible.
    """
    if any(ord(letter) < 32 or letter == "\x7f" for letter in str(path)):
        raise ConfigError([f"{what}: has control characters; must be a folder's name"])
    if any(len(os.fsencode(name)) > LONGEST_NAME for name in path.parts):
        raise ConfigError([f"{what}: has a name of more than {LONGEST_NAME} bytes"])
    try:
        path.exists()
    except OSError as error:  # too long, or below a forbidden folder
        raise ConfigError([f"{what}: {error.strerror}"]) from error


def check_there(folder: Path, what: str) -> None:
    """Refuse a path that is not an existing folder.

    Raises:
        ConfigError: the folder is missing, or the path is something else.
    """
    check_path(folder, what)
    if not folder.is_dir():
        raise ConfigError([f"{what}: {'not a' if folder.exists() else 'no such'} folder"])


def check_inside(root: Path, path: Path, what: str) -> None:
    """Refuse a path that leaves a folder, by ``..``, as an absolute path, or through a link.

    The path need not exist.

    Raises:
        ConfigError: the path leads out of the folder.
    """
    check_path(path, what)
    real, inside = os.path.realpath(root), os.path.realpath(path)
    if ".." in path.parts[len(root.parts) :] or os.path.commonpath([real, inside]) != real:
        where = root if root.parts else "the current folder"
        raise ConfigError([f"{what}: leads out of {where}; must stay in it"])


def check_subfolder(root: Path, name: str) -> None:
    """Refuse a job's folder that would lie outside the sweep's, or could be replaced.

    Raises:
        ConfigError: the name is unsuitable.
    """
    what = f"hydra.sweep.subdir={name}"
    check_inside(root, root / name, what)
    for part in Path(name).parts:
        if part.startswith("."):
            raise ConfigError([f"{what}: {part} begins with a dot; must be a name without"])
        if any(fnmatchcase(part, own) for own in OWN_NAMES):
            raise ConfigError([f"{what}: {part} is a name of what a run writes; must be another"])


def check_folder(folder: Path, key: str, explicit: bool) -> None:
    """Refuse a folder that can't be made, or that a run has written to.

    Only ``resume`` may use a folder with results or checkpoints.

    Args:
        folder: the folder of the results.
        key: ``hydra.run.dir`` or ``hydra.sweep.dir``.
        explicit: whether the folder was typed; otherwise it is the default, named after the time.

    Raises:
        ConfigError: the folder is unsuitable.
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
        kind = "a run's checkpoints" if found.name == CHECKPOINTS else "results"
        own = found.parent == folder
        where = "" if own else f" in {found.parent}"
        or_else = f", or use resume={folder}" if own or key == "hydra.sweep.dir" else ""
        raise ConfigError([f"{what}: holds {kind}{where}; must be a new folder{or_else}"])


def _of_a_run(folder: Path) -> Path | None:
    """Find results or checkpoints at any depth of a folder, because jobs may have nested ones."""
    for root, folders, files in os.walk(folder):
        if RESULT in files:
            return Path(root, RESULT)
        saved = Path(root, CHECKPOINTS)
        if PACKED in folders:
            return Path(root, PACKED)
        if CHECKPOINTS in folders and any(saved.glob(f"{CHECKPOINT_BEGINS}*")):
            return saved
        folders[:] = [name for name in folders if not name.startswith(".")]
    return None


def reserve(folder: Path, key: str, explicit: bool) -> Path:
    """Make the folder of the results before another process can, and return its path.

    A typed (explicit) folder is used unchanged; for the default, a number is added if it exists.

    Raises:
        ConfigError: the folder can't be made.
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
