"""The Ray Tune trainable: the only module of this package that knows Ray.

What has to be exact belongs to the trial's ledger; Ray schedules. A trial that a ledger already knows is
replayed epoch by epoch through the same `step`, so that schedulers and the live view see the whole history.
"""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.result import DONE

from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.descent import open_session
from trainable.device import prepare_device
from trainable.execution import Share
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import RemoteError
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import TrialData, prepare
from trainable.wording import one_line

TRIAL_KEY = "trial_key"
"""The entry of the configuration that Tune carries which names a trial."""
CONFIG = "config"
"""The entry that holds the TrainConfig of a trial that was proposed; those of a plan lie in TrialSetup."""
SHARE = "share"
"""The entry that holds what the trial is given, a Share as a dict."""
ANCESTORS = "ancestors"
"""The entry that holds the TrainConfigs that such a trial goes on from, the first first; none of most trials."""
STATUS = "status"
REPLAYED = "replayed"
ERROR = "error"
NOTE = "note"
BUSY_SECONDS = 60.0
BUSY_POLL_SECONDS = 0.2
POSITION_FILE = "epochs_reported"


@dataclasses.dataclass(frozen=True, slots=True)
class TrialSetup:
    """What every trial of a sweep is given, the data set apart."""

    configs: dict[str, TrainConfig]
    """Trial key -> configuration, of the trials that are known before the run."""
    trials_folder: Path | RemoteFolder
    """Absolute; where the trials' ledgers lie."""
    run: RunInfo
    source_hash: str
    """Of the driver's training source; a worker on another source refuses to work."""
    marker: Path | None = None
    """A file beside the ledgers that holds the run's id: a node that does not see it does not see the store."""


def report(progress: Progress) -> dict[str, Any]:
    """What `step` reports to Tune: the fields of the EpochRecord, beside how the trial stands."""
    fields = dataclasses.asdict(progress.record) if progress.record else {}
    standing = {STATUS: progress.status.value, REPLAYED: progress.replayed, ERROR: progress.error}
    standing[NOTE] = progress.note
    return fields | standing | {DONE: progress.ended}


def from_report(result: Mapping[str, Any]) -> Progress:
    """The inverse of `report`, among all that Tune has added."""
    names = [spec.name for spec in dataclasses.fields(EpochRecord)]
    record = EpochRecord(**{name: result[name] for name in names}) if names[0] in result else None
    return Progress(record, Status(result[STATUS]), result[REPLAYED], result[ERROR], result[NOTE])


def config_of(carried: Mapping[str, Any], known: Mapping[str, TrainConfig]) -> TrainConfig:
    """Of a trial: from what Tune carries of it, else by its key from those known before the run."""
    return TrainConfig.from_dict(carried[CONFIG]) if CONFIG in carried else known[carried[TRIAL_KEY]]


def share_of(carried: Mapping[str, Any]) -> Share:
    """What a trial is given."""
    return Share(**carried[SHARE])


def placement(carried: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What Tune is to reserve for a trial. Tune unpickles this anew for each: it holds nothing."""
    share = share_of(carried)
    return tune.PlacementGroupFactory([{"CPU": share.cpus} | ({"GPU": share.gpus} if share.gpus else {})])


def sees(marker: Path, run_id: str) -> bool:
    """Whether this machine sees the file that the driver has written."""
    try:
        return marker.read_text() == run_id
    except OSError:
        return False


class TrainingTrainable(tune.Trainable):  # type: ignore[misc] # Ray's class is untyped here
    """Trains one configuration an epoch a step. The actor is used again for the next trial (`reset_config`).

    Ray may run `setup` in a second process while a cached actor has already taken the trial over, so
    `setup` has no side effects: the ledger is opened, under its lock, by the first `step`.
    """

    _session: TrialSession | None = None
    """None also while, or where, `setup` has failed: Ray cleans up all the same."""

    def setup(self, config: dict[str, Any], sweep: TrialSetup, data: ImageData) -> None:
        """
        Args:
            config: {TRIAL_KEY: key, SHARE: what it is given}; CONFIG and ANCESTORS, too, of a trial that is not
                among the sweep's `configs`.
            data: out of Ray's object store: its arrays are shared by all trials of the node, uncopied.

        Raises:
            RuntimeError: the worker runs other code than the driver, does not see the store, or has no GPU though it
                was given one.
        """
        if provenance.source_hash() != sweep.source_hash:
            raise RuntimeError(
                f"this worker runs other code ({provenance.source_hash()}, {provenance.ROOT}) "
                f"than the driver ({sweep.source_hash})"
            )
        if sweep.marker is not None and not sees(sweep.marker, sweep.run.run_id):
            raise RuntimeError(f"the node {provenance.host_name()} does not see the store's {sweep.marker.parent}")
        self._sweep = sweep
        self._data = data
        share = share_of(config)  # an actor is used again for trials of the same share only
        self._run = dataclasses.replace(
            sweep.run, num_threads=share.num_threads, gpus=share.gpus, node=ray.util.get_node_ip_address()
        )
        if share.gpus and not torch.cuda.is_available():
            raise RuntimeError(
                f"the node {provenance.host_name()} gave this trial {share.gpus:g} GPU, and its torch "
                f"{torch.__version__} finds none: install the CUDA build there"
            )
        self._device = prepare_device(share.num_threads, use_gpu=share.gpus > 0, gpus=share.gpus)
        self._prepared: tuple[Any, TrialData] | None = None
        self._session = None
        self._start_at(config, epochs_reported=0)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._start_at(new_config, epochs_reported=0)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch, replayed or trained; or the failure of a trial whose ledger cannot be opened."""
        try:
            session = self._session or self._open()
        except (OSError, RemoteError, LedgerBusyError) as error:
            return report(Progress(None, Status.FAILED, replayed=False, error=one_line(error)))
        progress = session.next_epoch()
        if progress.ended:
            self.cleanup()
        return report(progress)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """For schedulers that pause: the state goes into the ledger, Ray keeps only how far it has been told."""
        session = self._session or self._open()
        session.save_checkpoint()
        (Path(checkpoint_dir) / POSITION_FILE).write_text(str(session.epochs_reported))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self._epochs_reported = int((Path(checkpoint_dir) / POSITION_FILE).read_text())

    def cleanup(self) -> None:
        """Free the trial; what a scheduler stops is kept, so that another sweep can go on with it."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.closing(session), contextlib.suppress(OSError, RemoteError):  # the older one serves
                session.save_checkpoint()

    def _start_at(self, config: dict[str, Any], epochs_reported: int) -> None:
        self._key = str(config[TRIAL_KEY])
        self._config = config_of(config, self._sweep.configs)
        self._ancestors = [TrainConfig.from_dict(one) for one in config.get(ANCESTORS, ())]
        self._epochs_reported = epochs_reported

    def _open(self) -> TrialSession:
        config = self._config
        cut = (config.train_subset, config.test_subset, config.holdout)
        if self._prepared is None or self._prepared[0] != cut:
            self._prepared = (cut, prepare(self._data, config, self._device))
        folder = self._sweep.trials_folder / self._key
        session = self._wait_for_session(config, self._prepared[1], folder)
        session.skip(self._epochs_reported)
        self._session = session
        return session

    def _wait_for_session(self, config: TrainConfig, data: TrialData, folder: Path | RemoteFolder) -> TrialSession:
        """A process that outlived its driver may still hold the trial; Ray ends such processes within seconds.

        Raises:
            LedgerBusyError: somebody holds it for longer than that.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return open_session(config, self._ancestors, data, folder, self._device, self._run)
            except LedgerBusyError:
                if time.monotonic() > deadline:
                    raise LedgerBusyError("another process trains it: run this command again afterwards") from None
                time.sleep(BUSY_POLL_SECONDS)
