"""What a power cut may leave of a folder: file operations are recorded, and the states after each of them rebuilt.

What was not synced may be lost. The content of a file is then that of its last sync, torn, or zeros; and of all that
was created, renamed and deleted in a folder since its last sync, each may have happened or not.
"""

import contextlib
import io
import itertools
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Tree = dict[str, bytes | None]
"""The content of each file by its relative path; None for a folder."""
ROOT = 0
"""Number of the recorded folder; every file and folder gets a number, whatever its name."""


class Killed(BaseException):
    """The process was killed."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation on a file or a folder."""

    kind: str
    """One of create, mkdir, rename, unlink, write, fsync."""
    path: str
    number: int
    """The file that was written or synced, or the folder in which a name changed."""
    content: bytes = b""
    """The content of the file after it was written."""
    removed: str | None = None
    """The name that went."""
    added: tuple[str, int] | None = None
    """The name that came, and the file or folder that has it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


class Recorder:
    """Records the operations below an empty folder, and can make one fail. Nothing is synced in truth.

    It sees what goes through the functions of `os`, and what is written to files opened by `os.fdopen`.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self.promises: list[tuple[int, Any]] = []
        """What was promised, each with the number of operations before."""
        self.num_attempted = 0
        """Number of operations that were tried."""
        self.error: BaseException | None = None
        """What the operation after the first `fail_after` ones raises."""
        self.fail_after = 0
        self.is_lasting = False
        """Whether all later operations but deletions raise it, too. A killed process does nothing more anyway."""
        self.failed = ""
        """The first operation that failed."""
        self._numbers = {root: ROOT}
        self._next_number = itertools.count(ROOT + 1)
        self._original = {name: getattr(os, name) for name in ("open", "fdopen", "link", "mkdir", "rename", "unlink")}
        for name in (*self._original, "fsync"):
            patch.setattr(os, name, getattr(self, f"_{name}"))
        patch.setattr(os, "replace", self._rename)

    def promise(self, what: object) -> None:
        """Note what has to hold from now on, whatever happens."""
        self.promises.append((len(self.operations), what))

    def promised(self, default: object, num_operations: int | None = None) -> Any:  # noqa: ANN401
        """Return what was promised last, within so many operations."""
        within = len(self.operations) if num_operations is None else num_operations
        return next((what for number, what in reversed(self.promises) if number <= within), default)

    def states(self, default: object, num_lost: int = 1) -> Iterator[tuple[str, Tree, Any]]:
        """Give what may be left after any number of operations, with what was promised by then.

        Args:
            default: what is promised at the beginning.
            num_lost: up to how many names are lost, or kept, while all others are not.
        """
        seen = set()
        for count in range(len(self.operations) + 1):
            promised = self.promised(default, count)
            after = f"after {count} operations" + (f" ({self.operations[count - 1]})" if count else "")
            for loss, tree in _states(self.operations[:count], num_lost):
                key = (frozenset(tree.items()), repr(promised))
                if key not in seen:
                    seen.add(key)
                    yield f"{after}, {loss}", tree, promised

    def before(self, kind: str, path: Path) -> bool:
        """Return whether an operation is to be recorded, or let it fail."""
        if path != self.root and self.root not in path.parents:
            return False
        self.num_attempted += 1
        over = self.num_attempted - self.fail_after
        lasts = isinstance(self.error, Killed) or (self.is_lasting and kind != "unlink")
        if self.error is not None and (over == 1 or (over > 1 and lasts)):
            self.failed = self.failed or f"{kind} {path.name}"
            raise self.error
        return True

    def _change(self, kind: str, path: Path, removed: Path | None = None, number: int | None = None) -> None:
        """Record that a name came or went."""
        folder = self._numbers[path.parent]
        gone = removed.name if removed is not None else None
        added = None if number is None else (path.name, number)
        self.operations.append(Operation(kind, str(path.relative_to(self.root)), folder, removed=gone, added=added))

    def _new(self, kind: str, path: Path) -> None:
        self._numbers[path] = next(self._next_number)
        self._change(kind, path, number=self._numbers[path])

    def _open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:  # noqa: ANN401
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path) and self.before("create", Path(path))
        descriptor: int = self._original["open"](path, flags, *arguments, **options)
        if is_new:
            self._new("create", Path(path))
        return descriptor

    def _fdopen(self, descriptor: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if self.root in _path_of(descriptor).parents and mode in ("wb", "ab"):
            return io.BufferedWriter(_RecordedFile(self, descriptor, mode))
        return self._original["fdopen"](descriptor, mode, *arguments, **options)

    def _mkdir(self, path: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        is_new = not os.path.lexists(path) and self.before("mkdir", Path(path))
        self._original["mkdir"](path, *arguments, **options)
        if is_new:
            self._new("mkdir", Path(path))

    def _link(self, source: Any, target: Any) -> None:  # noqa: ANN401
        is_inside = self.before("link", Path(target))
        self._original["link"](source, target)
        if is_inside:
            self._numbers[Path(target)] = self._numbers[Path(source)]
            self._change("link", Path(target), number=self._numbers[Path(source)])

    def _rename(self, source: Any, target: Any) -> None:  # noqa: ANN401
        is_inside = self.before("rename", Path(target))
        self._original["rename"](source, target)
        if is_inside:
            assert Path(source).parent == Path(target).parent
            moved = [path for path in self._numbers if path == Path(source) or Path(source) in path.parents]
            for path in moved:
                self._numbers[Path(target) / path.relative_to(source)] = self._numbers.pop(path)
            self._change("rename", Path(target), removed=Path(source), number=self._numbers[Path(target)])

    def _unlink(self, path: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        is_inside = os.path.lexists(path) and self.before("unlink", Path(path))
        self._original["unlink"](path, *arguments, **options)
        if is_inside:
            del self._numbers[Path(path)]
            self._change("unlink", Path(path), removed=Path(path))

    def _fsync(self, descriptor: int) -> None:
        path = _path_of(descriptor)
        if self.before("fsync", path):
            self.operations.append(Operation("fsync", str(path.relative_to(self.root)), self._numbers[path]))

    def written(self, descriptor: int) -> None:
        """Record the content of a file that was written."""
        path = _path_of(descriptor)
        content = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        name = str(path.relative_to(self.root))
        self.operations.append(Operation("write", name, self._numbers[path], content=content))


@contextlib.contextmanager
def recording(folder: Path) -> Iterator[Recorder]:
    """Record what is done in a new folder, as long as the context lasts."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        yield Recorder(folder, patch)


class _RecordedFile(io.FileIO):
    """A file whose writes are recorded. Of what cannot be written, half is, as on a disk that becomes full."""

    def __init__(self, recorder: Recorder, descriptor: int, mode: str) -> None:
        super().__init__(descriptor, mode)
        self._recorder = recorder
        self._error: OSError | None = None

    def write(self, content: Any, /) -> int:  # noqa: ANN401
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        try:
            self._recorder.before("write", _path_of(self.fileno()))
        except OSError as error:
            self._error = error
            content = bytes(content)[: len(content) // 2]
        written = super().write(content)
        self._recorder.written(self.fileno())
        return written

    def truncate(self, size: int | None = None, /) -> int:
        self._recorder.before("truncate", _path_of(self.fileno()))
        size = super().truncate(size)
        self._recorder.written(self.fileno())
        return size


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _states(operations: list[Operation], num_lost: int) -> Iterator[tuple[str, Tree]]:
    """Give the states that a power cut may leave after these operations, and what each has lost."""
    content: dict[int, bytes] = {}
    synced: dict[int, bytes] = {}
    names: dict[int, dict[str, int]] = {ROOT: {}}
    pending: list[Operation] = []
    for operation in operations:
        match operation.kind:
            case "write":
                content[operation.number] = operation.content
            case "fsync":
                if operation.number in names:
                    names = _changed(names, [change for change in pending if change.number == operation.number])
                    pending = [change for change in pending if change.number != operation.number]
                else:
                    synced[operation.number] = content.get(operation.number, b"")
            case _:
                pending.append(operation)
                if operation.added is not None and operation.kind == "mkdir":
                    names[operation.added[1]] = {}
    unsynced = {
        number: _lost_contents(synced.get(number, b""), new)
        for number, new in content.items()
        if new != synced.get(number)
    }
    nothing_kept = content | {number: lost[0] for number, lost in unsynced.items()}

    def state(kept: Collection[Operation], contents: Mapping[int, bytes]) -> Tree:
        return dict(_files(_changed(names, kept), contents))

    for size in range(min(num_lost, len(pending)) + 1):
        for some in itertools.combinations(pending, size):
            others = [change for change in pending if change not in some]
            names_of_some = ", ".join(map(str, some))
            yield f"lost: [{names_of_some}]", state(others, content)
            yield f"lost: [{names_of_some}] and all contents", state(others, nothing_kept)
            yield f"lost: all names but [{names_of_some}]", state(some, content)
            yield f"lost: all names but [{names_of_some}], and all contents", state(some, nothing_kept)
    for number, lost in unsynced.items():
        for left in lost:
            yield f"lost: all but {left!r} of file {number}", state(pending, content | {number: left})


def _lost_contents(old: bytes, new: bytes) -> list[bytes]:
    """Return what may be left of a file whose new content was not synced; first, that nothing of it is."""
    if old.startswith(new):  # it was cut
        return [old]
    kept = old if new.startswith(old) else b""
    return [old, new[: (len(kept) + len(new)) // 2], kept + bytes(len(new) - len(kept))]


def _changed(names: Mapping[int, Mapping[str, int]], changes: Collection[Operation]) -> dict[int, dict[str, int]]:
    """Return the names in all folders after these changes."""
    result = {folder: dict(entries) for folder, entries in names.items()}
    for change in changes:
        if change.removed is not None:
            result[change.number].pop(change.removed, None)
        if change.added is not None:
            name, number = change.added
            result[change.number][name] = number
    return result


def _files(
    names: Mapping[int, Mapping[str, int]], contents: Mapping[int, bytes], folder: int = ROOT, prefix: str = ""
) -> Iterator[tuple[str, bytes | None]]:
    for name, number in names[folder].items():
        if number in names:
            yield prefix + name, None
            yield from _files(names, contents, number, f"{prefix}{name}/")
        else:
            yield prefix + name, contents.get(number, b"")


def write_tree(folder: Path, tree: Tree) -> None:
    """Write the files of a state into an empty folder."""
    for name, content in tree.items():  # folders come before what is in them
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
