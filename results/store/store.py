"""The contract of a store, which holds trials by their key, and sweeps that name some of them.

    STORE/trials/<key>/        the ledger of a trial, shared by all sweeps (see trainable.ledger.files)
    STORE/trials/<key>.superseded-<n>/   its earlier trainings, kept by `run --again`
    STORE/store.json           the identity of the store, if it is a folder (trainable.ledger.identity)
    STORE/<sweep>/sweep.json   the trials of the sweep, and the space that they come from (results.store.manifest)
                   trials.parquet, epochs.parquet, figures/
                   search.jsonl  what a search proposed, stopped and chose (results.store.search_log)
                   runs.jsonl    how long each run of the driver was expected to take, and took (sweep.runs)
                   metrics.prom  counters for Prometheus, kept by the driver (sweep.observers.prometheus)
                   lock          held by the driver that runs the sweep, if the store is a folder
                   lock.json     the driver, for all who look; in a bucket also its lock (results.store.holder, lease)
                   stalled.json  running trials that have not moved for long (sweep.stalled)
                   search.jsonl.holder-<n>  in a bucket, after a takeover (see results.store.remote_journal)

Nothing inside depends on an absolute path: a store can be moved or copied.
"""

import contextlib
import uuid
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from results.store.holder import Holder
from results.store.manifest import Manifest, without_sources
from results.store.sweep_files import SweepFiles
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.reading import read_summary, read_trial, trial_status
from trainable.ledger.superseded import superseded_trials
from trainable.records import Status, TrialFiles, TrialSummary
from trainable.wording import counted

if TYPE_CHECKING:
    from trainable.ledger.remote_ledger import RemoteFolder


class Store(SweepFiles):
    """Trials, and the sweeps that name them.

    Whatever is read is the newest that the store holds. What is written is in the store when the call returns.
    """

    def __init__(self, trials_folder: Path) -> None:
        self.trials_folder = trials_folder
        """Local folder of the trials; in a remote store, of the copies that were made last."""
        self.store_id: str | None = None
        """Identity of a store in a folder, once this process has driven a sweep in it."""
        self.read_only = False
        """Whether not even a file that tells the storage's time may be written in order to look."""

    @property
    @abstractmethod
    def ledgers(self) -> "Path | RemoteFolder":
        """Where processes open the trials that they train, each by its key. A local folder is absolute."""

    @abstractmethod
    def check_writable(self, sweep: str | None = None) -> None:
        """
        Args:
            sweep: the sweep whose files are to be written, too, if any.

        Raises:
            UserError: the store cannot be written, or holds a symbolic link where something is to be written.
        """

    @abstractmethod
    def check_present(self) -> None:
        """
        Raises:
            UserError: this process has driven a sweep of the store, and the store's folder has gone since.
        """

    def is_missing(self) -> bool:
        """Return whether the store's folder does not exist yet."""
        return False

    @abstractmethod
    def hurried(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a store that does not answer is not waited for."""

    @abstractmethod
    def files(self) -> dict[str, tuple[int, int]]:
        """Return the path of every file, relative to the store, with its size in bytes and its time in ns."""

    @abstractmethod
    def read_path(self, path: str) -> bytes | None:
        """Return the content of the file with this path relative to the store; None if there is none."""

    # Trials.

    @abstractmethod
    def trial_names(self) -> list[str]:
        """Return the names of the folders of all trainings, superseded ones included."""

    @abstractmethod
    def latest_trials(self, limit: int) -> list[Path]:
        """Return the folders of the trainings whose epochs were written last, the latest first.

        Superseded trainings are included.
        """

    @abstractmethod
    def trial_with_logs(self, name: str) -> Path:
        """Return the folder of a training, one of `trial_names`, with the logs of its processes."""

    @abstractmethod
    def _update_trials(self, keys: Collection[str] | None = None) -> None:
        """Bring the trials of these keys in `trials_folder`, or all of them, up to date, superseded ones included."""

    def all_trials(self) -> list[Path]:
        """Return the folders of all trials, without superseded trainings."""
        self._update_trials()
        folders = sorted(self.trials_folder.glob("*"))
        return [folder for folder in folders if SUPERSEDED not in folder.name]

    def read_trials(self, keys: Collection[str]) -> Iterator[tuple[str, TrialFiles]]:
        """Read all that the store holds of these trials, one by one, as (key, files)."""
        self._update_trials(keys)
        for key in keys:
            yield key, read_trial(self.trial_folder(key))

    def summaries(self, keys: Collection[str]) -> dict[str, TrialSummary]:
        """Return how far these trials have come, by their keys."""
        self._update_trials(keys)
        return {key: read_summary(self.trial_folder(key)) for key in keys}

    def trainings(self, keys: Collection[str], unchanged: Collection[str] = ()) -> dict[str, dict[int, Path]]:
        """Return the folders of all trainings of these trials, by key and number, oldest first.

        The last training of a trial is the one that counts; its folder need not exist. The others are superseded.
        Trials in `unchanged`, which the caller has read after they had ended, are not looked up again.
        """
        self._update_trials([key for key in keys if key not in unchanged])
        earlier = superseded_trials(self.trials_folder)
        found = {}
        for key in keys:
            superseded = earlier.get(key, {})
            found[key] = superseded | {max(superseded, default=0) + 1: self.trial_folder(key)}
        return found

    def trial_folder(self, trial_key: str) -> Path:
        """Return the local folder of a trial, as it was when the trial was last read."""
        return self.trials_folder / trial_key

    @abstractmethod
    def at_work(self, name: str, trials: Mapping[str, TrialSummary]) -> set[str]:
        """Return the keys of those of the sweep's unfinished trials that a living driver's run works on."""

    @abstractmethod
    def holding(self, file: str, keys: Collection[str]) -> set[str]:
        """Return the keys of those of the trials whose folders hold this file."""

    @abstractmethod
    def drop_files(self, file: str, keys: Collection[str]) -> None:
        """Delete this file of these trials: final states or weights that nobody needs. Their results stay."""

    @abstractmethod
    def drop_checkpoints(self, keys: Collection[str]) -> None:
        """Delete checkpoints of those of the trials that have ended for good, which killed processes left."""

    @abstractmethod
    def delete_trials(self, keys: Collection[str]) -> None:
        """Delete the ledgers of these trials, superseded trainings included.

        Raises:
            SweepLostError: as `write`, of any sweep; also raised by `drop_files` and `supersede`.
        """

    @abstractmethod
    def _busy(self, keys: Collection[str]) -> list[str]:
        """Return those of the trials that a living process works on, whatever its sweep."""

    @abstractmethod
    def _supersede(self, trainings: Sequence[tuple[TrainConfig, int]]) -> int:
        """Supersede those of the trials that have ended, each with the number of its training; return how many.

        Raises:
            LedgerBusyError: another process works on one of the trials.
        """

    def check_free(self, keys: Collection[str]) -> None:
        """
        Raises:
            UserError: another process works on one of these trials.
        """
        busy = self._busy(keys)
        if busy:
            raise UserError(f"{len(busy)} of these trials ({busy[0]}, ...) are being trained now: wait for them")

    def supersede(self, manifest: Manifest) -> int:
        """Put the results of these trials aside, so that a run trains them again; return how many had ended.

        Raises:
            UserError: another process works on one of the trials.
        """
        self.check_free(manifest.keys)
        earlier = superseded_trials(self.trials_folder)
        numbers = [max(earlier.get(key, ()), default=0) + 1 for key in manifest.keys]
        try:
            return self._supersede(list(zip((trial.config for trial in manifest.trials), numbers, strict=True)))
        except LedgerBusyError:  # it began after the check
            raise UserError("another process has just begun to train one of these trials: wait for it") from None

    # Sweeps.

    def replaced_trials(self, old: Manifest, new: Manifest) -> set[str]:
        """Return the keys of trials without a result that `new` has with another content of the user's files."""
        now = {without_sources(trial.config) for trial in new.trials}
        lost = set(old.keys) - set(new.keys)
        configs = [trial.config for trial in old.trials if trial.config.trial_key in lost]
        keys = [config.trial_key for config in configs if without_sources(config) in now]
        if not keys:
            return set()
        trainings = self.trainings(keys)
        return {
            key
            for key, summary in self.summaries(keys).items()
            if not summary.epochs_done
            and not summary.damage
            and trial_status(summary) in (Status.FAILED, Status.INCOMPLETE)
            and len(trainings[key]) == 1
        }

    def check_extends(self, manifest: Manifest) -> None:
        """
        Raises:
            UserError: the store's sweep of this name holds trials that the new manifest lacks, and does not replace.
        """
        existing = self.find_manifest(manifest.name)
        if existing is None:
            return
        sweep = f"the sweep {manifest.name!r} in {self.location()}"
        if existing.is_search != manifest.is_search:
            kind = "a search" if existing.is_search else "rows or a grid"
            raise UserError(f"{sweep} is {kind}: give this run another --name")
        lost = set(existing.keys) - set(manifest.keys) - self.replaced_trials(existing, manifest)
        if lost:
            keep = "add --extend to keep both, or " if existing.images == manifest.images else ""
            are = counted(len(existing.keys), "trial") + (" is" if len(lost) == 1 else " are")
            told = f"({len(lost)} of its {are} not among these): {keep}give this run another --name"
            raise UserError(f"{sweep} already stands for other trials {told}")

    # The driver of a sweep.

    @abstractmethod
    def driver(self, name: str) -> Holder | None:
        """Return the living driver of the sweep; None if there is none. Looking is in no driver's way."""

    def is_running(self, name: str) -> bool:
        """Return whether a living driver runs the sweep."""
        return self.driver(name) is not None

    def check_no_driver(self, name: str) -> None:
        """
        Raises:
            UserError: a living driver runs the sweep, so this process cannot.
        """
        if self.is_running(name):
            raise UserError(busy_message(name))

    @abstractmethod
    def _only_driver(self, name: str, run_id: str) -> contextlib.AbstractContextManager[None]:
        """Return a context in which no other driver runs the sweep.

        Raises:
            LedgerBusyError: another driver runs the sweep; raised when the context is entered.
        """

    @abstractmethod
    def check_driver(self, name: str, *, ask: bool = False) -> None:
        """Check that this process may go on, if it drives the sweep.

        Args:
            name: the sweep.
            ask: ask a remote store now; otherwise it is known every few seconds.

        Raises:
            SweepLostError: another run has taken the sweep over. `write` and journals raise it, too.
            UserError: a remote store has not answered for minutes.
            RemoteError: a remote store does not answer; only if it is asked.
        """

    @contextlib.contextmanager
    def driving(self, manifest: Manifest, run_id: str | None = None) -> Iterator[str]:
        """Become the only driver of the sweep, and make the manifest the sweep's; give the id of the run.

        Without `run_id` the run gets a new one.

        Raises:
            UserError: another driver runs the sweep, its name stands for other trials, or the store cannot be
                written.
        """
        run_id = run_id or uuid.uuid4().hex
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._only_driver(manifest.name, run_id))
                self.check_extends(manifest)
                self.write_manifest(manifest)
                self.drop_checkpoints(manifest.keys)
            except LedgerBusyError:
                raise UserError(busy_message(manifest.name)) from None
            except OSError as error:
                raise UserError(f"cannot write to {self.location(manifest.name)}: {error.strerror}") from None
            yield run_id


def begun_by(run_ids: Collection[str], trials: Mapping[str, TrialSummary]) -> set[str]:
    """Return the keys of the trials that one of these runs has begun and not ended."""
    return {
        key
        for key, summary in trials.items()
        if summary.attempts and summary.attempts[-1].run_id in run_ids and summary.end is None
    }


def busy_message(name: str) -> str:
    """Return the refusal of a second driver."""
    return f"another process is running the sweep {name!r}: wait for it, or give this one another --name"
