"""What a process does for the trials that it is given, one after the other. No Ray."""

import contextlib
import dataclasses
import platform
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from models.costs import multiply_accumulates
from models.user_code import UserCode
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.descent import open_session
from trainable.device import release_memory
from trainable.execution import Share
from trainable.heartbeat import Beat, Heartbeat
from trainable.ledger.filesystems import is_lasting, trouble_text
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import RemoteError
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.records import Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.side_by_side import Turns, own_stream
from trainable.splits import TrialData, prepare
from trainable.wording import one_line

SLOWEST_CPU, SLOWEST_GPU = 1e9, 1e11
"""Floating-point operations per second below which no device is taken to be at work."""
OPERATIONS = 6
"""Floating-point operations of a training step for each multiply-accumulate of a forward pass."""
ASSUMED_COST = 4e9
"""Multiply-accumulates of a forward pass of a model of the user's own: about those of ResNet-50 on 224x224 pixels."""
BUSY_SECONDS = 60.0
BUSY_POLL_SECONDS = 0.2

Cuts = MutableMapping[tuple[Any, ...], TrialData]
"""The data set on the device, by how it is cut; shared by the trials of a process."""


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


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """A trial and its resources."""

    trial_key: str
    config: TrainConfig
    ancestors: tuple[TrainConfig, ...]
    """Configurations that the trial descends from, the oldest first; most have none."""
    share: Share


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """The node of the cluster on which this process runs."""

    identifier: str
    address: str
    tell: Callable[[str, Beat], None]
    """Tells the driver of a trial, by its key."""


class TrialWorker:
    """Trains one trial after the other, one epoch per step; `assign` comes before each.

    Nothing is written before the first step, which opens the ledger and takes its lock.
    """

    def __init__(
        self, sweep: TrialSetup, data: ImageData, device: torch.device, node: Node, beside: tuple[Turns, Cuts] | None
    ) -> None:
        """
        Args:
            beside: what the workers of this process share; None if it has no other.
        """
        self._sweep = sweep
        self._data = data
        self._device = device
        self._node = node
        self._execution = dataclasses.replace(sweep.run.execution, streams=beside is not None)
        self._stream = contextlib.nullcontext if beside is None else own_stream(device)
        self._turns, self._cuts = beside or (Turns(), WeakValueDictionary())
        self._prepared: TrialData | None = None
        self._session: TrialSession | None = None
        self._heartbeat = Heartbeat(node.identifier, node.tell)

    def assign(self, trial: Assignment) -> None:
        """Take over a trial; the one before is left as `cleanup` does."""
        self.cleanup()
        self._trial = trial
        self._run = dataclasses.replace(
            self._sweep.run,
            num_threads=trial.share.num_threads,
            gpus=trial.share.gpus,
            node=self._node.address,
            execution=self._execution,
        )

    def step(self) -> Progress:
        """Replay or train one epoch; if the ledger cannot be opened, return the failure of the trial."""
        self._heartbeat.begin(self._trial.trial_key, self._honest_seconds())
        try:
            with self._stream():
                return self._step()
        finally:
            self._heartbeat.rest()

    def _step(self) -> Progress:
        try:
            session = self._session or self._open()
        except (OSError, RemoteError, LedgerBusyError) as error:
            return self._failure(error)
        try:
            progress = session.next_epoch()
        except OSError as error:
            if not is_lasting(error):
                raise
            del session
            with contextlib.suppress(OSError):
                self.cleanup()
            return self._failure(error)
        del session  # or its memory could not be freed
        if progress.ended:
            self.cleanup()
        return progress

    def cleanup(self) -> None:
        """Write a checkpoint, free the memory, and release the trial for other processes."""
        session, self._session = self._session, None
        if session is None:
            return
        with (
            self._stream(),
            self._turns.together(),
            contextlib.closing(session),
            contextlib.suppress(OSError, RemoteError),  # an older checkpoint will do
        ):
            session.save_checkpoint()
        with self._turns.alone():
            del session
            release_memory(self._device)

    def _honest_seconds(self) -> float:
        """Return the time without a move that the slowest device may need: for a step, or on a GPU for an epoch.

        The host sends a GPU the steps of an epoch ahead, and then waits for all of them.
        """
        images = self._data.train_images
        operations = OPERATIONS * (multiply_accumulates(self._trial.config.model, images.shape[1]) or ASSUMED_COST)
        if self._device.type == "cuda":
            return operations * len(images) / SLOWEST_GPU
        return operations * self._trial.config.batch_size / SLOWEST_CPU

    def _failure(self, error: Exception) -> Progress:
        """Return an error that the trial's ledger does not hold."""
        trouble = None
        if isinstance(error, OSError) and is_lasting(error):
            folder = self._sweep.trials_folder
            trouble = trouble_text(error, folder if isinstance(folder, Path) else folder.local)
            if isinstance(folder, RemoteFolder):
                trouble += f" of the node {platform.node()}"
        return Progress(None, Status.FAILED, replayed=False, error=one_line(error), store_trouble=trouble)

    def _open(self) -> TrialSession:
        config = self._trial.config
        folder = self._sweep.trials_folder / self._trial.trial_key
        self._session = self._wait_for_session(config, self._cut(config), folder)
        return self._session

    def _cut(self, config: TrainConfig) -> TrialData:
        """Return the data set as the configuration cuts it, on the device."""
        key = (config.train_subset, config.test_subset, config.holdout, config.recipe_version)
        with self._turns.alone():
            data = self._cuts.get(key)
            if data is None:
                data = self._cuts[key] = prepare(self._data, config, self._device)
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)  # other streams read it, too
            self._prepared = data  # keeps it among the cuts
        return data

    def _wait_for_session(self, config: TrainConfig, data: TrialData, folder: Path | RemoteFolder) -> TrialSession:
        """Open the session, and wait if a process that outlived its driver still holds the trial's lock.

        Ray ends such processes within seconds.

        Raises:
            LedgerBusyError: another process holds the lock for longer than BUSY_SECONDS.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return open_session(config, self._trial.ancestors, data, folder, self._device, self._run, self._turns)
            except LedgerBusyError:
                if time.monotonic() > deadline:
                    raise LedgerBusyError("another process is training it: run again afterwards") from None
                time.sleep(BUSY_POLL_SECONDS)
