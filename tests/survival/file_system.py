"""A file system that keeps what it was told to keep, and anything or nothing of the rest.

The model of ALICE (Pillai et al., OSDI 2014) in its strictest form. A file has content that was
synced and writes that were not; a folder has names that were synced and changes that were not. A
cut leaves any part of what was not synced, in any order, but for changes of one name, which stay
in theirs. Syncing a file does not sync its name: that takes a sync of its folder.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from random import Random

Tree = Mapping[str, bytes | None]
"""What lies in a file system: content by path, none of a folder."""

Operation = tuple[str, ...]
"""A call by its name and arguments; paths are relative to the root, files go by a handle:
``open path handle flags``, ``write handle offset content``, ``ftruncate handle size``,
``fsync handle``, ``rename path path``, ``unlink path``, ``mkdir path``, ``rmdir path``."""

RANDOM_STATES = 6
"""States at a cut in which every file and folder has lost a part of its own."""


@dataclass(eq=False)
class File:
    """A file: its synced content, and the writes after that.

    Args:
        durable: the synced content.
        pending: each write as its offset and content; a cut or an extension as its size alone.
    """

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def content(self, count: int | None = None) -> bytes:
        """Return the content after the first of the unsynced writes.

        Args:
            count: how many of them; by default all.
        """
        content = self.durable
        for offset, added in self.pending[:count]:
            if added is None:
                content = content[:offset].ljust(offset, b"\0")
            else:
                content = content.ljust(offset, b"\0")
                content = content[:offset] + added + content[offset + len(added) :]
        return content

    def kept(self) -> bytes:
        """Return what is left if every write reached the disk."""
        return self.content()

    def lost(self) -> bytes:
        """Return what is left if none did."""
        return self.durable

    def zeroed(self) -> bytes:
        """Return what is left if the size reached the disk, and none of what was written."""
        blank = [(at, added and b"\0" * len(added)) for at, added in self.pending]
        return File(self.durable, blank).content()

    def variants(self) -> Iterator[bytes]:
        """Return each content that a cut may leave."""
        yield from (self.kept(), self.lost(), self.zeroed())
        for count, (at, added) in enumerate(self.pending):
            yield self.content(count)
            if added is not None:
                for part in (added[: len(added) // 2], b"\0" * len(added)):
                    yield File(self.durable, [*self.pending[:count], (at, part)]).content()
                blank = b"\0" * len(added)
                others = [*self.pending[:count], (at, blank), *self.pending[count + 1 :]]
                yield File(self.durable, others).content()


@dataclass(eq=False)
class Folder:
    """A folder: its synced names, and the changes after that.

    Args:
        durable: the synced names.
        pending: each change as the names that it sets; none takes a name away.
    """

    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def names(self, chosen: set[int] | None = None) -> dict[str, "File | Folder"]:
        """Return the names after some of the unsynced changes.

        Args:
            chosen: which of them, from 0; by default all.
        """
        names: dict[str, File | Folder | None] = dict(self.durable)
        for number, change in enumerate(self.pending):
            if chosen is None or number in chosen:
                names |= change
        return {name: node for name, node in names.items() if node is not None}

    def kept(self) -> dict[str, "File | Folder"]:
        """Return what is left if every change reached the disk."""
        return self.names()

    def lost(self) -> dict[str, "File | Folder"]:
        """Return what is left if none did."""
        return self.durable

    zeroed = kept  # a folder's names are there or not

    def variants(self) -> Iterator[dict[str, "File | Folder"]]:
        """Return the names after each prefix of the changes, all but one, and one alone."""
        numbers = set(range(len(self.pending)))
        for number in [*numbers, len(numbers)]:
            yield self.names(set(range(number)))
        for number in numbers:
            yield self.names(numbers - self._linked(number, range(number, len(numbers))))
            yield self.names(self._linked(number, range(number, -1, -1)))

    def _linked(self, number: int, others: Sequence[int]) -> set[int]:
        """Return a change and those of the others that share a name with it, or with these."""
        linked, names = set(), set(self.pending[number])
        for other in others:
            if names & self.pending[other].keys():
                linked.add(other)
                names |= self.pending[other].keys()
        return linked


Node = File | Folder
Choice = Callable[[Node], bytes | dict[str, Node]]
"""Says what a cut leaves of a file or a folder."""


class FileSystem:
    """Follows operations, and tells what a cut may leave.

    Args:
        tree: what is there from the start, and synced.
    """

    def __init__(self, tree: Tree | None = None) -> None:
        self.root = Folder()
        self._handles: dict[str, Node] = {}
        self._paths: dict[str, str] = {}
        for path, content in sorted((tree or {}).items()):
            names = self._folder(path).durable
            names[PurePosixPath(path).name] = Folder() if content is None else File(content)

    def apply(self, operation: Operation) -> None:
        """Follow an operation that has succeeded.

        Args:
            operation: the call.
        """
        name, *arguments = operation
        getattr(self, f"_{name}")(*arguments)

    def path_of(self, place: str) -> str:
        """Return the path of an open file, or a path as it is.

        Args:
            place: a handle, or a path.
        """
        return self._paths.get(place, place)

    def now(self) -> dict[str, bytes | None]:
        """Return what a process sees."""
        return self._tree(lambda node: node.kept())

    def states(self, random: Random | None = None) -> Iterator[dict[str, bytes | None]]:
        """Return what a cut may leave now; the same state may come more than once.

        Each file and each folder varies alone, where of all others everything is kept, the names
        alone, or the data alone; then some states are drawn in which all vary.

        Args:
            random: draws those.
        """
        unsynced = [node for node in self._reachable() if node.pending]
        variants = {node: list(node.variants()) for node in unsynced}
        for names, data in (("kept", "kept"), ("kept", "lost"), ("kept", "zeroed"),
                            ("lost", "kept")):  # fmt: skip

            def usual(node: Node, names: str = names, data: str = data) -> bytes | dict[str, Node]:
                return getattr(node, names if isinstance(node, Folder) else data)()

            yield self._tree(usual)
            for node in unsynced:
                for left in variants[node]:
                    yield self._tree(lambda n, o=node, left=left, u=usual: left if n is o else u(n))
        for _ in range(RANDOM_STATES if random and len(unsynced) > 1 else 0):
            drawn = {node: random.choice(variants[node]) for node in unsynced}
            yield self._tree(lambda node, d=drawn: d[node] if node in d else node.kept())

    def _reachable(self) -> list[Node]:
        """Return every file and folder that has a name, or may have one after a cut."""
        found: dict[Node, None] = {self.root: None}
        for node in (queue := [self.root]):
            for names in [node.durable, *node.pending]:
                for below in names.values():
                    if below is not None and below not in found:
                        found[below] = None
                        queue += [below] if isinstance(below, Folder) else []
        return list(found)

    def _tree(self, choice: Choice) -> dict[str, bytes | None]:
        tree: dict[str, bytes | None] = {}

        def walk(folder: Folder, prefix: str) -> None:
            for name, node in choice(folder).items():
                if isinstance(node, File):
                    tree[prefix + name] = choice(node)
                else:
                    tree[prefix + name] = None
                    walk(node, f"{prefix}{name}/")

        walk(self.root, "")
        return tree

    def _folder(self, path: str) -> Folder:
        """Return the folder that a path lies in."""
        folder = self.root
        for name in PurePosixPath(path).parts[:-1]:
            folder = folder.names()[name]
        return folder

    def _node(self, path: str) -> Node | None:
        name = PurePosixPath(path).name
        return self._folder(path).names().get(name) if name else self.root

    def _name(self, path: str, node: Node | None) -> None:
        self._folder(path).pending.append({PurePosixPath(path).name: node})

    def _open(self, path: str, handle: str, flags: int) -> None:
        node = self._node(path)
        if node is None:
            node = File()
            self._name(path, node)
        elif flags & os.O_TRUNC and node.content():
            node.pending.append((0, None))
        self._handles[handle], self._paths[handle] = node, path

    def _write(self, handle: str, offset: int, content: bytes) -> None:
        self._handles[handle].pending.append((offset, content))

    def _ftruncate(self, handle: str, size: int) -> None:
        file = self._handles[handle]
        if len(file.content()) != size:
            file.pending.append((size, None))

    def _fsync(self, handle: str) -> None:
        node = self._handles[handle]
        node.durable, node.pending = node.kept(), []

    def _rename(self, source: str, target: str) -> None:
        folder, node = self._folder(source), self._node(source)
        if self._folder(target) is not folder:
            raise NotImplementedError(f"rename of {source} to another folder, {target}")
        names = PurePosixPath(source).name, PurePosixPath(target).name
        folder.pending.append(dict(zip(names, (None, node), strict=True)))

    def _unlink(self, path: str) -> None:
        self._name(path, None)

    def _mkdir(self, path: str) -> None:
        self._name(path, Folder())

    _replace, _rmdir = _rename, _unlink
