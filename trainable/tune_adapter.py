"""The Ray Tune trainable: the only module of this package that knows Ray.

Ray only schedules; whatever has to be exact is in the trial's ledger. The epochs that a ledger holds already are
replayed one by one through the same `step`, so that schedulers and the live view see the whole history. Tune's own
checkpoints are not used: nothing here saves or restores them.
"""

import contextlib
import dataclasses
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.experimental import internal_kv
from ray.tune.result import DONE

from models.costs import multiply_accumulates
from models.user_code import UserCode, provide
from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.descent import open_session
from trainable.device import prepare_device, release_memory
from trainable.execution import Share
from trainable.heartbeat import Beat, Heartbeat
from trainable.ledger.filesystems import is_lasting, trouble_text
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import RemoteError
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import TrialData, prepare
from trainable.wording import one_line

TRIAL_KEY = "trial_key"
"""Key of Tune's configuration under which the trial's key stands."""
CONFIG = "config"
"""Key under which the TrainConfig of a proposed trial stands; TrialSetup holds those of planned trials."""
SHARE = "share"
"""Key under which the trial's resources stand, a Share as a dict."""
ANCESTORS = "ancestors"
"""Key under which the TrainConfigs stand that a proposed trial descends from, the oldest first; most have none."""
STATUS = "status"
REPLAYED = "replayed"
ERROR = "error"
NOTE = "note"
STORE_TROUBLE = "store_trouble"
HEARTBEATS = "batchscape-heartbeats"
"""Namespace of Ray's key-value store in which processes tell that they move, under RUN_ID/TRIAL_KEY."""
SLOWEST_CPU, SLOWEST_GPU = 1e9, 1e11
"""Floating-point operations per second below which no device is taken to be at work."""
OPERATIONS = 6
"""Floating-point operations of a training step for each multiply-accumulate of a forward pass."""
ASSUMED_COST = 4e9
"""Multiply-accumulates of a forward pass of a model of the user's own: about those of ResNet-50 on 224x224 pixels."""
BUSY_SECONDS = 60.0
BUSY_POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class TrialSetup:
    """What every trial of a sweep is given besides the data set."""

    configs: dict[str, TrainConfig]
    """Configurations of the trials that are known before the run, by trial key."""
    trials_folder: Path | RemoteFolder
    """Folder of the trials' ledgers; its path is absolute."""
    run: RunInfo
    source_hash: str
    """Hash of the driver's training source; a worker that has another source refuses to work."""
    sources: tuple[UserCode, ...] = ()
    """Sources of the models and losses of the user's own."""
    marker: Path | None = None
    """File beside the ledgers that holds the run's id: a node that cannot read it cannot see the store. None if that
    need not be checked."""


def report(progress: Progress) -> dict[str, Any]:
    """Return what `step` reports to Tune: the fields of the EpochRecord and the state of the trial."""
    fields = dataclasses.asdict(progress.record) if progress.record else {}
    state = {STATUS: progress.status.value, REPLAYED: progress.replayed, ERROR: progress.error, NOTE: progress.note}
    return fields | state | {STORE_TROUBLE: progress.store_trouble, DONE: progress.ended}


def from_report(result: Mapping[str, Any]) -> Progress:
    """Return the progress in a result of Tune, the inverse of `report`; keys that Tune added are ignored."""
    names = [spec.name for spec in dataclasses.fields(EpochRecord)]
    record = EpochRecord(**{name: result[name] for name in names}) if names[0] in result else None
    return Progress(
        record, Status(result[STATUS]), result[REPLAYED], result[ERROR], result[NOTE], result[STORE_TROUBLE]
    )


def config_of(carried: Mapping[str, Any], known: Mapping[str, TrainConfig]) -> TrainConfig:
    """Return the configuration of a trial: the one that Tune carries, else the known one with the trial's key."""
    return TrainConfig.from_dict(carried[CONFIG]) if CONFIG in carried else known[carried[TRIAL_KEY]]


def share_of(carried: Mapping[str, Any]) -> Share:
    """Return the resources of a trial."""
    return Share(**carried[SHARE])


def placement(carried: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Return what Tune reserves for a trial. Tune unpickles this function for every trial: it has no state."""
    share = share_of(carried)
    return tune.PlacementGroupFactory([{"CPU": share.cpus} | ({"GPU": share.gpus} if share.gpus else {})])


def sees(marker: Path, run_id: str) -> bool:
    """Return whether this machine can read the file that the driver has written."""
    try:
        return marker.read_text() == run_id
    except OSError:
        return False


class TrainingTrainable(tune.Trainable):  # type: ignore[misc] # Ray's class is untyped here
    """Trains one configuration, one epoch per step. Tune reuses the actor for the next trial (`reset_config`).

    Ray may run `setup` in a second process while a cached actor has already taken over the trial. So `setup` has no
    side effects: the first `step` opens the ledger and takes its lock.
    """

    _session: TrialSession | None = None
    """The open session; None before the first step, and if `setup` failed (Ray calls `cleanup` even then)."""

    def setup(self, config: dict[str, Any], sweep: TrialSetup, data: ImageData) -> None:
        """Prepare the device and check that this worker can do the trial.

        Args:
            config: TRIAL_KEY and SHARE; for trials that are not in the sweep's `configs` also CONFIG and ANCESTORS.
            sweep: what all trials of the sweep have in common.
            data: the data set in Ray's object store; all trials of a node share its arrays without copying them.

        Raises:
            RuntimeError: the worker runs other code than the driver, does not see the store, or was given a GPU that
                torch does not find.
        """
        if provenance.source_hash() != sweep.source_hash:
            raise RuntimeError(
                f"this worker runs other code ({provenance.source_hash()}, {provenance.ROOT}) "
                f"than the driver ({sweep.source_hash})"
            )
        if sweep.marker is not None and not sees(sweep.marker, sweep.run.run_id):
            raise RuntimeError(f"the node {platform.node()} does not see the store's {sweep.marker.parent}")
        provide(sweep.sources)
        self._sweep = sweep
        self._data = data
        share = share_of(config)  # Tune reuses an actor only for trials with the same share
        self._run = dataclasses.replace(
            sweep.run, num_threads=share.num_threads, gpus=share.gpus, node=ray.util.get_node_ip_address()
        )
        if share.gpus and not torch.cuda.is_available():
            raise RuntimeError(
                f"the node {platform.node()} gave this trial {share.gpus:g} GPU, and its torch "
                f"{torch.__version__} finds none: install the CUDA build there"
            )
        self._device = prepare_device(share.num_threads, use_gpu=share.gpus > 0, gpus=share.gpus)
        self._prepared: tuple[Any, TrialData] | None = None
        self._session = None
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        self._heartbeat = Heartbeat(node, self._tell)
        self._assign(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take over the next trial."""
        self.cleanup()
        release_memory(self._device)
        self._assign(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Replay or train one epoch; if the ledger cannot be opened, report the failure of the trial."""
        self._heartbeat.begin(self._key, self._honest_seconds())
        try:
            return self._step()
        finally:
            self._heartbeat.rest()

    def _step(self) -> dict[str, Any]:
        try:
            session = self._session or self._open()
        except (OSError, RemoteError, LedgerBusyError) as error:
            return self._report_error(error)
        try:
            progress = session.next_epoch()
        except OSError as error:
            if not is_lasting(error):
                raise
            with contextlib.suppress(OSError):
                self.cleanup()
            return self._report_error(error)
        if progress.ended:
            self.cleanup()
        return report(progress)

    def cleanup(self) -> None:
        """Close the trial. One that a scheduler stops gets a checkpoint, so that another sweep can resume it."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.closing(session), contextlib.suppress(OSError, RemoteError):  # an older one will do
                session.save_checkpoint()

    def _honest_seconds(self) -> float:
        """Return the time without a move that the slowest device may need: for a step, or on a GPU for an epoch.

        The host sends a GPU the steps of an epoch ahead, and then waits for all of them.
        """
        images = self._data.train_images
        operations = OPERATIONS * (multiply_accumulates(self._config.model, images.shape[1]) or ASSUMED_COST)
        if self._device.type == "cuda":
            return operations * len(images) / SLOWEST_GPU
        return operations * self._config.batch_size / SLOWEST_CPU

    def _tell(self, trial_key: str, beat: Beat) -> None:
        internal_kv._internal_kv_put(f"{self._run.run_id}/{trial_key}", beat.to_bytes(), namespace=HEARTBEATS)

    def _report_error(self, error: Exception) -> dict[str, Any]:
        """Report an error that the trial's ledger does not hold."""
        trouble = None
        if isinstance(error, OSError) and is_lasting(error):
            folder = self._sweep.trials_folder
            trouble = trouble_text(error, folder if isinstance(folder, Path) else folder.local)
            if isinstance(folder, RemoteFolder):
                trouble += f" of the node {platform.node()}"
        progress = Progress(None, Status.FAILED, replayed=False, error=one_line(error), store_trouble=trouble)
        return report(progress)

    def _assign(self, config: dict[str, Any]) -> None:
        self._key = str(config[TRIAL_KEY])
        self._config = config_of(config, self._sweep.configs)
        self._ancestors = [TrainConfig.from_dict(values) for values in config.get(ANCESTORS, ())]

    def _open(self) -> TrialSession:
        config = self._config
        cut = (config.train_subset, config.test_subset, config.holdout, config.recipe_version)
        if self._prepared is None or self._prepared[0] != cut:
            self._prepared = (cut, prepare(self._data, config, self._device))
        folder = self._sweep.trials_folder / self._key
        self._session = self._wait_for_session(config, self._prepared[1], folder)
        return self._session

    def _wait_for_session(self, config: TrainConfig, data: TrialData, folder: Path | RemoteFolder) -> TrialSession:
        """Open the session, and wait if a process that outlived its driver still holds the trial's lock.

        Ray ends such processes within seconds.

        Raises:
            LedgerBusyError: another process holds the lock for longer than BUSY_SECONDS.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return open_session(config, self._ancestors, data, folder, self._device, self._run)
            except LedgerBusyError:
                if time.monotonic() > deadline:
                    raise LedgerBusyError("another process is training it: run again afterwards") from None
                time.sleep(BUSY_POLL_SECONDS)
