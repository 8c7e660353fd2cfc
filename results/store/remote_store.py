"""A store behind a URI: every reader works on copies of its files on this machine, fetched when they have changed.

What processes write of a trial goes there directly (see trainable.ledger.remote_ledger); what is written of a sweep
is written here, and published. The copies lie in `mirror_folder(uri)`, those of the trials for all processes of
this machine, those of a sweep's files for this process alone, so that nobody fetches an old one over a new one
that is about to be published. All of them can be deleted at any time.
"""

import contextlib
import os
import shlex
import shutil
import threading
import uuid
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from results.store.lease import Lease
from results.store.store import MANIFEST, Store
from trainable.config import TrainConfig
from trainable.ledger.files import ATTEMPTS, CONFIG, EPOCHS, FINAL_STATE, LOCK, RESULT, SUPERSEDED
from trainable.ledger.locks import is_locked
from trainable.ledger.reading import read_summary
from trainable.ledger.remote import Remote, Stamp, in_parallel, mirror_folder
from trainable.ledger.remote_ledger import RemoteFolder, RemoteLedger
from trainable.ledger.trial_log import logs_among, logs_in
from trainable.records import TrialSummary
from trainable.sweep_name import TRIALS

READ_FILES = (CONFIG, ATTEMPTS, EPOCHS, RESULT)
"""Of a trial, by everybody but the process that trains it."""
FEW_TRIALS = 16
"""So many are listed one by one, more by one listing of all trials in the store."""
LISTINGS = 3
"""How often the trials are listed where what was listed has gone before it was read."""


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
        self._sweeps = mirror_folder(uri) / "sweeps" / uuid.uuid4().hex
        self._leases: dict[str, Lease] = {}
        weakref.finalize(self, shutil.rmtree, self._sweeps, ignore_errors=True)

    @property
    def ledgers(self) -> RemoteFolder:
        return RemoteFolder(self._uri, TRIALS)

    @property
    def option(self) -> str:
        return f" --store {shlex.quote(self._uri)}"

    def shown(self, path: Path | None = None) -> str:
        return self._remote.shown if path is None else f"{self._remote.shown}/{self._name(path)}"

    def sweep_folder(self, name: str) -> Path:
        return self._sweeps / super().sweep_folder(name).name

    def sweeps(self, file: str = MANIFEST) -> list[str]:
        names = [name for name in self._remote.folders() if name != TRIALS]
        stamps = in_parallel(lambda name: self._remote.stamp(f"{name}/{file}"), names)
        return sorted(name for name, stamp in zip(names, stamps, strict=True) if stamp is not None)

    def refresh_trials(self, keys: Collection[str] | None = None) -> None:
        """With their superseded trainings."""
        for _ in range(LISTINGS if keys is None or keys else 0):
            there = self._stamps_of_trials(keys)
            here = {path.name for path in self.trials_folder.glob("*") if keys is None or _key(path.name) in keys}
            listed = [(name, there.get(name, {})) for name in there.keys() | here]
            if all(in_parallel(lambda one: self._refresh_trial(*one), listed)):
                return

    def trial_names(self) -> list[str]:
        return sorted(name for name in self._remote.folders(TRIALS) if name != "..")

    def refresh_logs(self, name: str) -> None:
        """With what else is read of the trial."""
        place, folder = f"{TRIALS}/{name}", self.trial_folder(name)
        there = {path.removeprefix(f"{place}/"): stamp for path, stamp in self._remote.stamps(place).items()}
        self._refresh_trial(name, there)
        for path in logs_in(folder).values():
            path.unlink(missing_ok=True)
        in_parallel(
            lambda log: _keep(folder / log, self._remote.read(f"{place}/{log}") or b""), logs_among(there).values()
        )

    def latest_trials(self, limit: int) -> list[Path]:
        there = self._stamps_of_trials(None)
        begun = sorted(
            (name for name in there if EPOCHS in there[name]), key=lambda name: there[name][EPOCHS].mtime_ns
        )
        latest = begun[: -limit - 1 : -1]
        in_parallel(lambda name: self._refresh_trial(name, there[name]), latest)
        return [self.trial_folder(name) for name in latest]

    def refresh(self, *paths: Path) -> None:
        in_parallel(self._refresh_file, paths)

    def _refresh_file(self, path: Path) -> None:
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
        return bool(self._living_runs([self.sweep_folder(name).name]))

    def at_work(self, name: str, trials: Mapping[str, TrialSummary]) -> set[str]:
        """Those that the living driver's run has begun and not ended."""
        return _begun_by(self._living_runs([name]) if trials else set(), trials)

    def drop_final_states(self, keys: Collection[str]) -> None:
        in_parallel(lambda key: self._remote.delete(f"{TRIALS}/{key}/{FINAL_STATE}"), keys)

    def files(self) -> dict[str, tuple[int, int]]:
        return {path: (stamp.size, stamp.mtime_ns) for path, stamp in self._remote.stamps("").items()}

    def delete_trials(self, keys: Collection[str]) -> None:
        names = [name for name in self.trial_names() if _key(name) in keys]
        self._delete_below([f"{TRIALS}/{name}" for name in names])
        for name in names:
            shutil.rmtree(self.trial_folder(name), ignore_errors=True)

    def delete_sweep(self, name: str) -> None:
        self._delete_below([name], last=f"{name}/{MANIFEST}")

    def _delete_below(self, folders: Collection[str], last: str | None = None) -> None:
        """Delete all files in these folders; `last` after all others."""
        names = [name for stamps in in_parallel(self._remote.stamps, folders) for name in stamps]
        in_parallel(self._remote.delete, [name for name in names if name != last])
        if last in names:
            self._remote.delete(last)

    def _busy(self, keys: Collection[str]) -> list[str]:
        """Those of living drivers, and those that a process of this machine holds."""
        self.refresh_trials(keys)
        trials = {key: read_summary(self.trial_folder(key)) for key in keys}
        begun = _begun_by(self._living_runs(self.sweeps()), trials)
        return [key for key in keys if key in begun or is_locked((self.ledgers / key).local / LOCK)]

    def _put_aside(self, generations: Sequence[tuple[TrainConfig, int]]) -> int:
        def put_aside(generation: tuple[TrainConfig, int]) -> bool:
            config, number = generation
            with RemoteLedger(self.ledgers / config.trial_key, config.to_dict()) as ledger:
                return ledger.supersede(number)

        return sum(in_parallel(put_aside, generations))

    @contextlib.contextmanager
    def _only_driver(self, name: str, run_id: str) -> Iterator[None]:
        with Lease(self._uri, name, run_id).held():
            yield

    def _living_runs(self, sweeps: Collection[str]) -> set[str]:
        """Ids of the runs that drive these sweeps now."""
        leases = [self._leases.setdefault(name, Lease(self._uri, name)) for name in sweeps]
        holders = in_parallel(Lease.living_holder, leases)
        return {holder.run_id for holder in holders if holder is not None}

    def _name(self, path: Path) -> str:
        """Of a sweep's file, in the store."""
        return path.relative_to(self._sweeps).as_posix()

    def _stamps_of_trials(self, keys: Collection[str] | None) -> dict[str, dict[str, Stamp]]:
        """Folder name -> file name -> stamp, of those of the wanted trials that the store holds."""
        if keys is not None and len(keys) <= FEW_TRIALS:
            listings = in_parallel(lambda name: self._remote.stamps(f"{TRIALS}/{name}"), keys)
            # Their superseded trainings later: one that is put aside meanwhile is seen twice rather than never.
            superseded = [name for name in self._remote.folders(TRIALS) if SUPERSEDED in name and _key(name) in keys]
            listings += in_parallel(lambda name: self._remote.stamps(f"{TRIALS}/{name}"), superseded)
        else:
            listings = [self._remote.stamps(TRIALS)]
        found: dict[str, dict[str, Stamp]] = {}
        for listing in listings:
            for path, stamp in listing.items():
                _, folder, name = path.split("/", 2) if path.count("/") > 1 else ("", "", "")
                if name in READ_FILES and folder != ".." and (keys is None or _key(folder) in keys):
                    found.setdefault(folder, {})[name] = stamp
        return found

    def _refresh_trial(self, folder_name: str, there: Mapping[str, Stamp]) -> bool:
        """In the order of READ_FILES: whoever reads a result finds the epochs before it.

        Returns:
            Whether all that had been listed could be read.
        """
        folder = self.trial_folder(folder_name)
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
            return True
        folder.mkdir(parents=True, exist_ok=True)
        is_whole = True
        for name in READ_FILES:
            path, stamp = folder / name, there.get(name)
            if stamp is not None and _stamp_here(path) == stamp:
                continue
            content = self._remote.read(f"{TRIALS}/{folder_name}/{name}") if stamp else None
            if content is None:
                path.unlink(missing_ok=True)
                is_whole &= stamp is None
            else:
                _keep(path, content, stamp)
        return is_whole


def _key(folder_name: str) -> str:
    """Of the trial whose training, superseded or not, lies in such a folder."""
    return folder_name.partition(SUPERSEDED)[0]


def _begun_by(run_ids: Collection[str], trials: Mapping[str, TrialSummary]) -> set[str]:
    """Keys of the trials that one of these runs has begun and not ended."""
    return {
        key
        for key, standing in trials.items()
        if standing.attempts and standing.attempts[-1].run_id in run_ids and standing.end is None
    }


def _keep(path: Path, content: bytes, stamp: Stamp | None = None) -> None:
    """A reader sees the old copy or the new; after a crash of the machine it is fetched anew."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    scratch.write_bytes(content)
    if stamp is not None:
        os.utime(scratch, ns=(stamp.mtime_ns, stamp.mtime_ns))
    scratch.replace(path)


def _stamp_here(path: Path) -> Stamp | None:
    """The stamp of the version that was fetched last."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)
