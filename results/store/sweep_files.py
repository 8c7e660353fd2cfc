"""The files of the sweeps in a store, and the manifest, which says what trials a sweep consists of."""

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from results.store.journal import Journal
from results.store.manifest import MANIFEST, Manifest, manifest_from_json, manifest_to_json
from results.store.search_log import SEARCH_LOG
from trainable.errors import UserError
from trainable.wording import command, nearest

TRIALS_PARQUET = "trials.parquet"
EPOCHS_PARQUET = "epochs.parquet"
FIGURES = "figures"


class SweepFiles(ABC):
    """The part of a store that holds sweeps: see `Store`."""

    @property
    @abstractmethod
    def option(self) -> str:
        """What to add to a command so that it finds this store; empty for the default store."""

    @abstractmethod
    def location(self, sweep: str | None = None, file: str = "") -> str:
        """Return where the store, the folder of a sweep or a file of it lies, for messages."""

    @abstractmethod
    def sweeps(self, file: str = MANIFEST) -> list[str]:
        """Return the names of the sweeps that have this file."""

    @abstractmethod
    def read(self, sweep: str, file: str) -> bytes | None:
        """Return the content of a file; None if there is no such file.

        Raises:
            UserError: the name cannot be that of a sweep; also raised by all methods that take one.
            OSError: the file cannot be read.
        """

    @abstractmethod
    def read_all(self, file: str) -> dict[str, bytes]:
        """Return the content of this file of every sweep that has it, by the name of the sweep."""

    @abstractmethod
    def write(self, sweep: str, file: str, content: bytes) -> None:
        """Create or replace a file. A reader sees the old content or the new.

        Raises:
            OSError: the file cannot be written.
            RemoteError: a remote store does not answer, or refuses.
            SweepLostError: this process drove the sweep, and another run has taken it over.
        """

    @abstractmethod
    def delete_sweep(self, name: str) -> None:
        """Delete the files of a sweep; its trials stay. The manifest goes last, so that a second call can finish."""

    @abstractmethod
    def journal(self, sweep: str, file: str) -> Journal:
        """Return a file of the sweep to which lines can be appended."""

    def search_log(self, sweep: str) -> Journal:
        """Return the log of a search; it is empty if the sweep is no search."""
        log = self.journal(sweep, SEARCH_LOG)
        log.owner = sweep
        return log

    @contextlib.contextmanager
    def writing(self, sweep: str) -> Iterator[Path]:
        """Give a scratch folder. Files that are written into it become the sweep's when the block ends.

        For tools that need a path. If the block raises, nothing is written.

        Raises:
            UserError: the store cannot be written.
        """
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
            for path in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
                try:
                    self.write(sweep, path.relative_to(scratch).as_posix(), path.read_bytes())
                except OSError as error:
                    raise UserError(f"cannot write to {self.location(sweep)}: {error.strerror}") from None

    # Manifests.

    def find_manifest(self, name: str) -> Manifest | None:
        """Return the manifest of the sweep; None if the store has no such sweep.

        Raises:
            UserError: the manifest is damaged, or belongs to another sweep.
        """
        location = self.location(name, MANIFEST)
        try:
            content = self.read(name, MANIFEST)
        except OSError as error:
            raise UserError(f"cannot read {location}: {error.strerror}") from None
        return None if content is None else manifest_from_json(content, name, location)

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of the sweep.

        Raises:
            UserError: the store has no such sweep; the message names the nearest one. Or as `find_manifest`.
        """
        found = self.find_manifest(name)
        if found is None:
            sweeps = self.sweeps()
            start = f"it holds none yet: start with `{command('run', 'quickstart')}{self.option}`"
            raise UserError(f"no sweep {name!r} in {self.location()}: {nearest(name, sweeps) if sweeps else start}")
        return found

    def write_manifest(self, manifest: Manifest) -> None:
        """Create or replace the manifest of the sweep."""
        self.write(manifest.name, MANIFEST, manifest_to_json(manifest))
