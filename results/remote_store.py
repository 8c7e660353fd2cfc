"""A store behind a URI: every reader works on copies of its files on this machine, fetched when they have changed.

What processes write of a trial goes there directly (see trainable.remote_ledger); what is written of a sweep
is written here, and published. The copies lie in `mirror_folder(uri)` and can be deleted at any time.
"""

import contextlib
import os
import shlex
import shutil
import threading
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from results.lease import Lease
from results.store import MANIFEST, TRIALS, Store
from trainable.ledger import ATTEMPTS, CONFIG, EPOCHS, RESULT
from trainable.records import TrialFiles
from trainable.remote import Remote, Stamp, in_parallel, mirror_folder
from trainable.remote_ledger import RemoteFolder

READ_FILES = (CONFIG, ATTEMPTS, EPOCHS, RESULT)
"""Of a trial, by everybody but the process that trains it."""
FEW_TRIALS = 16
"""So many are listed one by one, more by one listing of all trials in the store."""


class RemoteStore(Store):
    """A store at a URI that pyarrow can open; `path` is where its copy lies."""

    def __init__(self, uri: str) -> None:
        """
        Raises:
            UserError: the URI cannot be opened, nobody answers there, or it may not be read.
        """
        self._uri = uri
        self._remote = Remote(uri)
        self._remote.check()
        super().__init__(mirror_folder(uri) / "view")

    @property
    def ledgers(self) -> RemoteFolder:
        return RemoteFolder(self._uri, TRIALS)

    @property
    def option(self) -> str:
        return f" --store {shlex.quote(self._uri)}"

    def shown(self, path: Path | None = None) -> str:
        return self._remote.shown if path is None else f"{self._remote.shown}/{self._name(path)}"

    def sweeps(self) -> list[str]:
        names = [name for name in self._remote.folders() if name != TRIALS]
        stamps = in_parallel(lambda name: self._remote.stamp(f"{name}/{MANIFEST}"), names)
        return sorted(name for name, stamp in zip(names, stamps, strict=True) if stamp is not None)

    def refresh_trials(self, keys: Collection[str] | None = None) -> None:
        there = self._stamps_of_trials(keys)
        here = {path.name for path in self.trials_folder.glob("*")}
        wanted = there.keys() | (here if keys is None else here & set(keys))
        in_parallel(lambda key: self._refresh_trial(key, there.get(key, {})), wanted)

    def refresh(self, path: Path) -> None:
        content = self._remote.read(self._name(path))
        if content is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(path, content)

    def publish(self, *paths: Path) -> None:
        for path in paths:
            self._remote.write(self._name(path), path.read_bytes())

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        return self._remote.hurried()

    def check_writable(self) -> None:
        name = f"{TRIALS}/.probe-{uuid.uuid4().hex}"
        with self.hurried():
            self._remote.write(name, b"\n")
            self._remote.delete(name)

    def is_running(self, name: str) -> bool:
        return Lease(self._uri, self.sweep_folder(name).name).living_holder() is not None

    def at_work(self, name: str, trials: Mapping[str, TrialFiles]) -> set[str]:
        """Those that the living driver's run has begun and not ended."""
        holder = Lease(self._uri, name).living_holder() if trials else None
        run_id = holder.run_id if holder else None
        return {
            key
            for key, files in trials.items()
            if files.attempts and files.attempts[-1].run_id == run_id and files.end is None
        }

    def _only_driver(self, name: str, run_id: str) -> contextlib.AbstractContextManager[None]:
        return Lease(self._uri, name, run_id).held()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _stamps_of_trials(self, keys: Collection[str] | None) -> dict[str, dict[str, Stamp]]:
        """Trial key -> file name -> stamp, of those of the wanted trials that the store holds."""
        if keys is not None and len(keys) <= FEW_TRIALS:
            listings = in_parallel(lambda key: self._remote.stamps(f"{TRIALS}/{key}"), keys)
        else:
            listings = [self._remote.stamps(TRIALS)]
        found: dict[str, dict[str, Stamp]] = {}
        for listing in listings:
            for path, stamp in listing.items():
                _, key, name = path.split("/", 2) if path.count("/") > 1 else ("", "", "")
                if name in READ_FILES and (keys is None or key in keys):
                    found.setdefault(key, {})[name] = stamp
        return found

    def _refresh_trial(self, key: str, there: Mapping[str, Stamp]) -> None:
        """In the order of READ_FILES: whoever reads a result finds the epochs before it."""
        folder = self.trial_folder(key)
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in READ_FILES:
            path, stamp = folder / name, there.get(name)
            if stamp is None:
                path.unlink(missing_ok=True)
            elif _stamp_here(path) != stamp:
                content = self._remote.read(f"{TRIALS}/{key}/{name}")
                if content is not None:
                    _keep(path, content)
                    os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))


def _keep(path: Path, content: bytes) -> None:
    """A reader sees the old copy or the new; after a crash of the machine it is fetched anew."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    scratch.write_bytes(content)
    scratch.replace(path)


def _stamp_here(path: Path) -> Stamp | None:
    """The stamp of the version that was fetched last."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)
