"""Files of a sweep that grow: one process at a time, the driver of the sweep, appends lines to them."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO

from trainable.ledger.files import make_folder, open_regular, read_regular, sync_folder

RUNS = "runs.jsonl"
"""The history of a sweep's runs (see sweep.runs)."""


class Journal(ABC):
    """A file to which lines are appended. It need not exist yet."""

    location: str
    """Where the file lies: in the folder of its sweep."""
    owner = ""
    """The sweep whose name the checksums of new lines cover; empty if they cover none."""

    @abstractmethod
    def read(self) -> bytes:
        """Return what the store holds of the file now; empty if there is no such file."""

    @abstractmethod
    def append(self, lines: bytes, *, durable: bool = True) -> None:
        """Append whole lines. If that fails, nothing is appended.

        Args:
            lines: one or more lines, each with its line end.
            durable: the lines are in the store, and survive a crash, when this returns. Otherwise they may be
                written later, at the latest by the next durable append or `flush`.

        Raises:
            OSError: the file cannot be written.
            RemoteError: a remote store does not answer, or refuses.
        """

    @abstractmethod
    def flush(self) -> None:
        """Write what has been appended but is not in the store yet.

        Raises:
            OSError, RemoteError: as in `append`.
        """

    @abstractmethod
    def truncate(self, num_bytes: int) -> None:
        """Cut off what follows the first `num_bytes` bytes, if anything does."""


def _make_folder_of(path: Path) -> None:
    if not path.parent.is_dir():
        make_folder(path.parent, parents=True)


class LocalJournal(Journal):
    """A file of this machine."""

    def __init__(self, path: Path, prepare: Callable[[Path], None] | None = None) -> None:
        """
        Args:
            path: where the file lies.
            prepare: called with the path before the file is written: it makes the folder, or refuses. By default it
                makes the folder.
        """
        self._prepare = prepare or _make_folder_of
        self.location = str(path)
        self._path = path
        self._is_listed = False
        """Whether the file itself survives a power cut; it may be new."""

    def read(self) -> bytes:
        try:
            return read_regular(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def append(self, lines: bytes, *, durable: bool = True) -> None:
        self._prepare(self._path)
        num_bytes = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._open(os.O_CREAT | os.O_APPEND) as file:
                file.write(lines)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                    if not self._is_listed:
                        sync_folder(self._path.parent)
                        self._is_listed = True
        except OSError:
            with contextlib.suppress(OSError):  # readers leave out a torn last line
                self.truncate(num_bytes)
            raise

    def flush(self) -> None:
        """Do nothing: the kernel has the lines, and other processes see them."""

    def truncate(self, num_bytes: int) -> None:
        if self._path.exists() and self._path.stat().st_size > num_bytes:
            self._prepare(self._path)
            with self._open() as file:
                file.truncate(num_bytes)

    def _open(self, flags: int = 0) -> IO[bytes]:
        return os.fdopen(open_regular(self._path, os.O_WRONLY | flags), "wb")
