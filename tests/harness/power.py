"""A model of a disk: which content is possible after a power loss.

The content of a file is safe after a sync that follows its last write. Before that it can be the old content, empty,
half or complete. The entries of a folder are safe after a sync of the folder; any of the changes since then can be
lost, in any order. Fsync of a file does not save its name.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from harness.disks import Operation

Choose = Callable[[int], int]
State = dict[str, bytes | None]
"""Content by path; None for a folder."""


@dataclass(eq=False)
class File:
    data: bytes = b""
    possible: list[bytes] = field(default_factory=lambda: [b""])

    def write(self, data: bytes) -> None:
        half = data[: len(data) // 2]
        zeros = bytes(len(data))  # the length may be saved before the content
        partial = [half, data[:-1], half + zeros[len(half) :], zeros, b""]
        self.possible = list(dict.fromkeys([data, *partial, *self.possible]))
        self.data = data

    def sync(self) -> None:
        self.possible = [self.data]


@dataclass(eq=False)
class Folder:
    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    safe: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[str, str, "File | Folder | None"]] = field(default_factory=list)

    def put(self, name: str, node: "File | Folder") -> None:
        self.entries[name] = node
        self.pending.append(("put", name, node))

    def rename(self, old: str, new: str) -> None:
        node = self.entries.pop(old)
        self.entries[new] = node
        self.pending.append((f"rename {old}", new, node))

    def drop(self, name: str) -> None:
        del self.entries[name]
        self.pending.append(("drop", name, None))

    def sync(self) -> None:
        self.safe = dict(self.entries)
        self.pending = []

    def possible(self, choose: Choose) -> dict[str, "File | Folder"]:
        """Returns one possible set of entries: the safe ones plus any subset of the pending changes."""
        entries = dict(self.safe)
        for kind, name, node in self.pending:
            if choose(2):
                continue
            if kind == "drop":
                entries.pop(name, None)
            elif node is not None:
                entries.pop(kind.removeprefix("rename "), None)
                entries[name] = node
        return entries


class PowerModel:
    """Applies recorded operations and returns the states that are possible after a power loss."""

    def __init__(self) -> None:
        self.root = Folder()

    def apply(self, operation: Operation) -> None:
        """Applies one operation."""
        parent, name = self._folder(operation.path.parent), operation.path.name
        if operation.kind in ("make_folder", "claim_folder"):
            self._folder(operation.path, make=True)
        elif operation.kind in ("write", "append"):
            self._write(parent, name, operation)
        elif operation.kind in ("sync", "sync_folder"):
            (parent.entries[name] if name else self.root).sync()
        elif operation.kind == "replace":
            assert operation.target is not None
            assert operation.path.parent == operation.target.parent, "renamed to another folder"
            parent.rename(name, operation.target.name)
        elif operation.kind == "remove":
            self._remove(parent, name)

    def _write(self, parent: Folder, name: str, operation: Operation) -> None:
        if name not in parent.entries:
            parent.put(name, File())
        file = parent.entries[name]
        assert isinstance(file, File)
        file.write((file.data if operation.kind == "append" else b"") + operation.data)

    def _remove(self, parent: Folder, name: str) -> None:
        node = parent.entries[name]
        for inner in list(node.entries) if isinstance(node, Folder) else ():
            self._remove(node, inner)
        parent.drop(name)

    def _folder(self, path: PurePath, *, make: bool = False) -> Folder:
        folder = self.root
        for part in path.parts:
            if make and part not in folder.entries:
                folder.put(part, Folder())
            inner = folder.entries[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder

    def state(self, choose: Choose) -> State:
        """Returns one possible state."""
        return dict(_content(self.root, "", choose))


def _content(folder: Folder, prefix: str, choose: Choose) -> Iterator[tuple[str, bytes | None]]:
    for name, node in folder.possible(choose).items():
        if isinstance(node, File):
            yield prefix + name, node.possible[choose(len(node.possible))]
        else:
            yield prefix + name, None
            yield from _content(node, f"{prefix}{name}/", choose)


def possible_states(model: PowerModel, limit: int) -> list[State]:
    """Returns distinct possible states: all if there are few, else `limit` in order and `limit` at random."""
    states: dict[tuple[tuple[str, bytes | None], ...], State] = {}
    path: list[tuple[int, int]] = []
    for _ in range(limit):
        position = iter(range(1_000_000))

        def choose(options: int, position: Iterator[int] = position) -> int:
            index = next(position)
            if index == len(path):
                path.append((0, options))
            return path[index][0]

        state = model.state(choose)
        states[tuple(sorted(state.items()))] = state
        while path and path[-1][0] == path[-1][1] - 1:
            path.pop()
        if not path:
            return list(states.values())
        path[-1] = (path[-1][0] + 1, path[-1][1])
    draws = random.Random(0)
    for _ in range(limit):
        state = model.state(draws.randrange)
        states[tuple(sorted(state.items()))] = state
    return list(states.values())


def power_losses(
    operations: Sequence[Operation], limit: int = 24, *, only_acknowledged: bool = False
) -> Iterator[tuple[State, list[str]]]:
    """Yields the possible states after a power loss at every point, with the words acknowledged before it.

    Args:
        operations: the recorded operations.
        limit: see `possible_states`.
        only_acknowledged: whether to check only the points right after an acknowledgement.
    """
    model = PowerModel()
    acknowledged: list[str] = []
    for operation in operations:
        if operation.kind == "acknowledge":
            acknowledged.append(operation.path.name)
        else:
            model.apply(operation)
        if operation.kind == "acknowledge" or not only_acknowledged:
            for state in possible_states(model, limit):
                yield state, list(acknowledged)


def write_state(state: State, folder: Path) -> None:
    """Writes `state` to `folder`, which then contains nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in sorted(state.items()):
        path = folder / name
        if data is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(data)


def without(operations: Sequence[Operation], index: int) -> list[Operation]:
    """Returns the operations without the one at `index`, as from code that forgot it."""
    return [*operations[:index], *operations[index + 1 :]]
