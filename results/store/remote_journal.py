"""Files that grow, in a remote store: a file can only be written as a whole there.

A log is never replaced by one that does not continue it. Before a log is written, its content in the store must be
what this process knows, and the lease of the sweep must be held. A driver that freezes after these checks still
overwrites the log once, if it wakes up after another has taken the sweep over. So a driver that took a sweep over,
and all drivers after it, first write the log to a file of their own, `<log>.holder-<token>`. The one with the largest
token counts, since no earlier driver writes it.
"""

import contextlib
from collections.abc import Callable

from results.store.journal import Journal
from results.store.lease import Lease
from trainable.errors import SweepLostError
from trainable.ledger.remote import Remote

COPY = ".holder-"


class RemoteJournal(Journal):
    """A file of a sweep to which its driver appends lines."""

    def __init__(self, remote: Remote, name: str, lease: Callable[[], Lease | None]) -> None:
        """
        Args:
            name: path of the file relative to the store.
            lease: returns the lease under which this process drives the sweep; None if it does not.
        """
        self.location = f"{remote.shown}/{name}"
        self._remote = remote
        self._name = name
        self._lease = lease
        self._content: bytes | None = None
        """The lines that this object has read or appended; None before its first change."""
        self._num_written = 0
        """Number of bytes of the content that are in the store."""
        self._in_doubt: bytes | None = None
        """What the store may hold, too, because the server did not answer when it was written."""

    def read(self) -> bytes:
        return self._find()[0]

    def append(self, lines: bytes, *, durable: bool = True) -> None:
        content = self._loaded() + lines
        if durable:
            self._write(content)
        self._content = content

    def flush(self) -> None:
        if self._content is not None and len(self._content) > self._num_written:
            self._write(self._content)

    def truncate(self, num_bytes: int) -> None:
        content = self._loaded()
        if len(content) > num_bytes:
            self._write(content[:num_bytes])
            self._content = content[:num_bytes]

    def _loaded(self) -> bytes:
        if self._content is None:
            self._content = self.read()
            self._num_written = len(self._content)
        return self._content

    def _write(self, content: bytes) -> None:
        lease = self._lease()
        with contextlib.nullcontext() if lease is None else lease.fenced(self._remote):
            found, token = self._find()
            # Until the first copy exists, the file may hold what an earlier driver wrote after it had lost the sweep.
            has_copy = lease is None or not lease.after_takeover or token >= lease.token
            if has_copy and found not in (self._loaded()[: self._num_written], self._in_doubt):
                raise SweepLostError(f"another run has changed {self.location}: this run has stopped")
            self._in_doubt = content
            if lease is not None and (token or lease.after_takeover):
                token = lease.token
            if token:
                self._remote.write(f"{self._name}{COPY}{token}", content)
            self._remote.write(self._name, content)
        self._num_written, self._in_doubt = len(content), None

    def _find(self) -> tuple[bytes, int]:
        """Return what the store holds of the file, and the token of the copy that counts; 0 if there is none."""
        content = self._remote.read(self._name)
        if content is None:
            return b"", 0
        prefix = f"{self._name}{COPY}"
        names = self._remote.stamps(self._name.rpartition("/")[0])
        endings = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        token = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
        return (self._remote.read(f"{prefix}{token}") or b"" if token else content), token
