"""A store behind a URI. Readers work on copies of the trials on this machine, fetched when they have changed.

Processes write their trials to the URI directly (see trainable.ledger.remote_ledger). The copies lie in
`mirror_folder(uri)`, for all processes of this machine; they can be deleted at any time. The files of sweeps are read
and written as a whole, without copies.
"""

import contextlib
import os
import shlex
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from results.store.holder import Holder
from results.store.journal import Journal
from results.store.lease import LEASE, Lease
from results.store.manifest import MANIFEST
from results.store.remote_journal import RemoteJournal
from results.store.store import Store, begun_by
from trainable.config import TrainConfig
from trainable.ledger.files import (
    ATTEMPTS,
    CHECKPOINTS,
    CONFIG,
    EPOCHS,
    LOCK,
    RESULT,
    SUPERSEDED,
    create_scratch,
)
from trainable.ledger.locks import is_locked
from trainable.ledger.reading import trial_status
from trainable.ledger.remote import MAX_REQUESTS, Item, Remote, Result, Stamp, in_parallel, mirror_folder
from trainable.ledger.remote_ledger import RemoteFolder, RemoteLedger
from trainable.ledger.trial_log import logs_among, logs_in
from trainable.records import TrialSummary
from trainable.sweep_name import TRIALS, check_sweep_name

READ_FILES = (CONFIG, ATTEMPTS, EPOCHS, RESULT)
"""The files of a trial that are copied, in this order."""
FEW_TRIALS = 16
"""Up to this number, trials are listed one by one; more of them by listing all trials of the store."""
LISTINGS = 3
"""Number of times that the trials are listed if files disappear between the listing and the reading."""


class RemoteStore(Store):
    """A store at a URI that pyarrow can open."""

    def __init__(self, uri: str) -> None:
        """
        Raises:
            UserError: the URI cannot be opened, the server does not answer, or the store may not be read.
        """
        super().__init__(mirror_folder(uri) / "view" / TRIALS)
        self._uri = uri
        self._remote = Remote(uri)
        self._remote.check()
        self._leases: dict[str, Lease] = {}
        """Leases that are looked at."""
        self._driven: dict[str, Lease] = {}
        """Leases of the sweeps that this process drives."""

    @property
    def ledgers(self) -> RemoteFolder:
        return RemoteFolder(self._uri, TRIALS)

    @property
    def option(self) -> str:
        return f" --store {shlex.quote(self._uri)}"

    def location(self, sweep: str | None = None, file: str = "") -> str:
        return self._remote.shown if sweep is None else f"{self._remote.shown}/{_name(sweep, file)}"

    def check_writable(self, sweep: str | None = None) -> None:
        name = f"{TRIALS}/.probe-{uuid.uuid4().hex}"
        with self.hurried():
            self._remote.write(name, b"\n")
            self._remote.delete(name)

    def check_present(self) -> None:
        """Do nothing: a bucket has no place where it would be made again."""

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        return self._remote.hurried()

    def sweeps(self, file: str = MANIFEST) -> list[str]:
        names = [name for name in self._remote.folders() if name != TRIALS]
        stamps = in_parallel(lambda name: self._remote.stamp(f"{name}/{file}"), names)
        return sorted(name for name, stamp in zip(names, stamps, strict=True) if stamp is not None)

    def read(self, sweep: str, file: str) -> bytes | None:
        return self._remote.read(_name(sweep, file))

    def read_all(self, file: str) -> dict[str, bytes]:
        names = sorted(name for name in self._remote.folders() if name != TRIALS)
        contents = in_parallel(lambda name: self._remote.read(f"{name}/{file}"), names)
        return {name: content for name, content in zip(names, contents, strict=True) if content is not None}

    def write(self, sweep: str, file: str, content: bytes) -> None:
        name = _name(sweep, file)
        with self._fenced(sweep):
            self._remote.write(name, content)

    def journal(self, sweep: str, file: str) -> Journal:
        return RemoteJournal(self._remote, _name(sweep, file), lambda: self._driven.get(sweep))

    def trial_names(self) -> list[str]:
        return sorted(name for name in self._remote.folders(TRIALS) if name != "..")

    def latest_trials(self, limit: int) -> list[Path]:
        stamps = self._stamps_of_trials(None)
        begun = sorted(
            (name for name in stamps if EPOCHS in stamps[name]), key=lambda name: stamps[name][EPOCHS].mtime_ns
        )
        latest = begun[: -limit - 1 : -1]
        in_parallel(lambda name: self._update_trial(name, stamps[name]), latest)
        return [self.trials_folder / name for name in latest]

    def trial_with_logs(self, name: str) -> Path:
        prefix, folder = f"{TRIALS}/{name}/", self.trials_folder / name
        listed = self._remote.stamps(prefix.rstrip("/"))
        stamps = {path.removeprefix(prefix): stamp for path, stamp in listed.items()}
        self._update_trial(name, stamps)
        for path in logs_in(folder).values():
            path.unlink(missing_ok=True)
        in_parallel(
            lambda log: _keep_copy(folder / log, self._remote.read(prefix + log) or b""), logs_among(stamps).values()
        )
        return folder

    def at_work(self, name: str, trials: Mapping[str, TrialSummary]) -> set[str]:
        """Return those that the living driver's run has begun and not ended."""
        return begun_by(self._living_runs([name]) if trials else set(), trials)

    def holding(self, file: str, keys: Collection[str]) -> set[str]:
        return self._stamps_of_trials(keys, (file,)).keys() & set(keys) if keys else set()

    def drop_files(self, file: str, keys: Collection[str]) -> None:
        self._each_fenced(lambda key: self._remote.delete(f"{TRIALS}/{key}/{file}"), keys)

    def drop_checkpoints(self, keys: Collection[str]) -> None:
        left = self._stamps_of_trials(keys, CHECKPOINTS) if keys else {}
        ended = [
            key for key, trial in self.summaries(left.keys() & set(keys)).items() if trial_status(trial).is_final
        ]
        self._each_fenced(self._remote.delete, [f"{TRIALS}/{key}/{name}" for key in ended for name in left[key]])

    def files(self) -> dict[str, tuple[int, int]]:
        return {path: (stamp.size, stamp.mtime_ns) for path, stamp in self._remote.stamps("").items()}

    def read_path(self, path: str) -> bytes | None:
        return self._remote.read(path)

    def delete_trials(self, keys: Collection[str]) -> None:
        names = [name for name in self.trial_names() if _key(name) in keys]
        self._each_fenced(lambda name: self._remote.delete_folder(f"{TRIALS}/{name}"), names)
        for name in names:
            shutil.rmtree(self.trial_folder(name), ignore_errors=True)

    def delete_sweep(self, name: str) -> None:
        kept_longest = (f"{name}/{MANIFEST}", f"{name}/{LEASE}")
        others = [file for file in self._remote.stamps(name) if file not in kept_longest]
        with self._fenced(name):
            in_parallel(self._remote.delete, others)
        with self._fenced(name):
            self._remote.delete(f"{name}/{MANIFEST}")
        if name in self._driven:
            self._driven[name].retire()
        self._remote.delete_folder(name)

    def _busy(self, keys: Collection[str]) -> list[str]:
        """Return those of living drivers, and those that a process of this machine holds."""
        begun = begun_by(self._living_runs(self.sweeps()), self.summaries(keys))
        return [key for key in keys if key in begun or is_locked((self.ledgers / key).local / LOCK)]

    def _supersede(self, trainings: Sequence[tuple[TrainConfig, int]]) -> int:
        def supersede(training: tuple[TrainConfig, int]) -> bool:
            config, number = training
            with RemoteLedger(self.ledgers / config.trial_key, config.to_dict()) as ledger:
                return ledger.supersede(number)

        return sum(self._each_fenced(supersede, trainings))

    def driver(self, name: str) -> Holder | None:
        check_sweep_name(name)
        return self._lease(name).living_holder()

    @contextlib.contextmanager
    def _only_driver(self, name: str, run_id: str) -> Iterator[None]:
        check_sweep_name(name)
        lease = Lease(self._uri, name, run_id)
        with lease.held():
            self._driven[name] = lease
            try:
                yield
            finally:
                del self._driven[name]

    def check_driver(self, name: str, *, ask: bool = False) -> None:
        lease = self._driven.get(name)
        if lease is not None and ask:
            lease.check(self._remote)
        elif lease is not None:
            lease.raise_problem()

    def _fenced(self, sweep: str) -> contextlib.AbstractContextManager[None]:
        """Return a context that writes a file of the sweep; a driver that has lost the sweep does not enter it."""
        lease = self._driven.get(sweep)
        return contextlib.nullcontext() if lease is None else lease.fenced(self._remote)

    def _each_fenced(self, action: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Do the action on all items, some at a time, unless a sweep that is driven here has been lost."""
        todo, results = list(items), []
        for start in range(0, len(todo), MAX_REQUESTS):
            with contextlib.ExitStack() as stack:
                for sweep in self._driven:
                    stack.enter_context(self._fenced(sweep))
                results += in_parallel(action, todo[start : start + MAX_REQUESTS])
        return results

    def _lease(self, sweep: str) -> Lease:
        """Return the lease of a sweep for looking at it."""
        lease = self._leases.setdefault(sweep, Lease(self._uri, sweep))
        lease.read_only = self.read_only
        return lease

    def _living_runs(self, sweeps: Collection[str]) -> set[str]:
        """Return the ids of the runs that drive these sweeps now."""
        holders = in_parallel(Lease.living_holder, [self._lease(name) for name in sweeps])
        return {holder.run_id for holder in holders if holder is not None}

    def _update_trials(self, keys: Collection[str] | None = None) -> None:
        for _ in range(LISTINGS if keys is None or keys else 0):
            stamps = self._stamps_of_trials(keys)
            copies = {path.name for path in self.trials_folder.glob("*") if keys is None or _key(path.name) in keys}
            listed = [(name, stamps.get(name, {})) for name in stamps.keys() | copies]
            if all(in_parallel(lambda item: self._update_trial(*item), listed)):
                return

    def _stamps_of_trials(
        self, keys: Collection[str] | None, names: Collection[str] = READ_FILES
    ) -> dict[str, dict[str, Stamp]]:
        """Return folder name -> file name -> stamp, of those of the wanted trials that the store holds."""
        if keys is not None and len(keys) <= FEW_TRIALS:
            listings = in_parallel(lambda name: self._remote.stamps(f"{TRIALS}/{name}"), keys)
            # Superseded trainings are listed later: one that is put aside meanwhile is seen twice rather than never.
            superseded = [name for name in self._remote.folders(TRIALS) if SUPERSEDED in name and _key(name) in keys]
            listings += in_parallel(lambda name: self._remote.stamps(f"{TRIALS}/{name}"), superseded)
        else:
            listings = [self._remote.stamps(TRIALS)]
        found: dict[str, dict[str, Stamp]] = {}
        for listing in listings:
            for path, stamp in listing.items():
                _, folder, name = path.split("/", 2) if path.count("/") > 1 else ("", "", "")
                if name in names and folder != ".." and (keys is None or _key(folder) in keys):
                    found.setdefault(folder, {})[name] = stamp
        return found

    def _update_trial(self, folder_name: str, stamps: Mapping[str, Stamp]) -> bool:
        """Copy the files that have changed. Their order lets a reader of a result find the epochs before it.

        Returns:
            Whether all files that had been listed could be read.
        """
        folder = self.trials_folder / folder_name
        if not stamps:
            shutil.rmtree(folder, ignore_errors=True)
            return True
        folder.mkdir(parents=True, exist_ok=True)
        is_complete = True
        for name in READ_FILES:
            path, stamp = folder / name, stamps.get(name)
            if stamp is not None and _stamp_of_copy(path) == stamp:
                continue
            content = self._remote.read(f"{TRIALS}/{folder_name}/{name}") if stamp else None
            if content is None:
                path.unlink(missing_ok=True)
                is_complete &= stamp is None
            else:
                _keep_copy(path, content, stamp)
        return is_complete


def _name(sweep: str, file: str) -> str:
    """Return the name of a sweep's file, or of its folder, in the store."""
    check_sweep_name(sweep)
    return f"{sweep}/{file}".rstrip("/")


def _key(folder_name: str) -> str:
    """Return the key of the trial that has a training, superseded or not, in a folder of this name."""
    return folder_name.partition(SUPERSEDED)[0]


def _keep_copy(path: Path, content: bytes, stamp: Stamp | None = None) -> None:
    """Replace a copy. A reader sees the old one or the new one; a copy that a crash damages is fetched again."""
    file, scratch = create_scratch(path)
    with file:
        file.write(content)
    if stamp is not None:
        os.utime(scratch, ns=(stamp.mtime_ns, stamp.mtime_ns))
    scratch.replace(path)


def _stamp_of_copy(path: Path) -> Stamp | None:
    """Return the stamp of the version that was copied last."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)
