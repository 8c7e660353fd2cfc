"""The Ray Tune trainable: the only module of this package that knows Ray.

Ray only schedules; whatever has to be exact is in the trial's ledger. The epochs that a ledger holds already are
replayed one by one through the same `step`, so that schedulers and the live view see the whole history. Tune's own
checkpoints are not used: nothing here saves or restores them.
"""

import contextlib
import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.experimental import internal_kv
from ray.tune.result import DONE
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from models.user_code import provide
from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device
from trainable.execution import Share
from trainable.heartbeat import Beat
from trainable.host import HOST_CALLS, TrialHost
from trainable.records import EpochRecord, Progress, Status
from trainable.side_by_side import can_share_process
from trainable.trial_worker import Assignment, Node, TrialSetup, TrialWorker

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


class HostDiedError(Exception):
    """The process in which a trial trained beside others has died."""


class HostKeeper:
    """Starts a process for the trials of each GPU that train on streams.

    It is an actor of the driver, and the hosts are its own: all end with the driver, however that ends.
    """

    def __init__(self, sweep: TrialSetup, data: Sequence[Any]) -> None:
        """
        Args:
            data: a reference to the data set in Ray's object store.
        """
        self._sweep = sweep
        self._data = data[0]
        self._hosts: dict[tuple[str, str], Any] = {}

    def host(self, node: str, gpu: str) -> Any:  # noqa: ANN401
        """Return the host for a GPU of a node, which is started if there is none, or if it has died."""
        found = self._hosts.get((node, gpu))
        try:
            if found is not None:
                ray.get(found.ready.remote())
                return found
        except ray.exceptions.RayActorError:
            pass
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "max_concurrency": HOST_CALLS, "scheduling_strategy": there}
        found = ray.remote(TrialHost).options(**options).remote(gpu, self._sweep, self._data, this_node)
        self._hosts[node, gpu] = found
        return found


def start_hosts(sweep: TrialSetup, data: ImageData) -> Any:  # noqa: ANN401
    """Start the keeper of the hosts, beside the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(HostKeeper).options(num_cpus=0, scheduling_strategy=here).remote(sweep, [ray.put(data)])


def this_node(run_id: str) -> Node:
    """Return the node of this process, and how it tells the driver of a run of its trials."""

    def tell(trial_key: str, beat: Beat) -> None:
        internal_kv._internal_kv_put(f"{run_id}/{trial_key}", beat.to_bytes(), namespace=HEARTBEATS)

    identifier = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    return Node(identifier, ray.util.get_node_ip_address(), tell)


class HostedTrial:
    """A trial that another process on this node trains, beside others."""

    def __init__(self, keeper: Any, trial: Assignment) -> None:  # noqa: ANN401
        self._keeper = keeper
        self._trial = trial
        self._host: Any = None

    def step(self) -> Progress:
        """
        Raises:
            HostDiedError: the other process has died.
        """
        try:
            if self._host is None:
                gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] if self._trial.share.gpus else ""
                node = ray.get_runtime_context().get_node_id()
                self._host = ray.get(self._keeper.host.remote(node, gpu))
                ray.get(self._host.begin.remote(self._trial, os.getpid()))
            progress: Progress = ray.get(self._host.step.remote(self._trial.trial_key))
        except ray.exceptions.RayActorError as error:
            raise HostDiedError(f"the worker process has died in which it trained beside others: {error}") from None
        return progress

    def cleanup(self) -> None:
        """Write a checkpoint, and release the trial for other processes."""
        host, self._host = self._host, None
        with contextlib.suppress(ray.exceptions.RayActorError):
            if host is not None:
                ray.get(host.end.remote(self._trial.trial_key))


class TrainingTrainable(tune.Trainable):  # type: ignore[misc] # Ray's class is untyped here
    """Trains one configuration, one epoch per step. Tune reuses the actor for the next trial (`reset_config`).

    Ray may run `setup` in a second process while a cached actor has already taken over the trial. So `setup` has no
    side effects.
    """

    WORKER: type[TrialWorker] = TrialWorker
    """What trains in this process."""
    _trial: TrialWorker | HostedTrial | None = None
    """None if `setup` failed (Ray calls `cleanup` even then)."""
    _own: TrialWorker | None = None
    """Trains in this process; None if a host has trained all trials so far."""

    def setup(
        self,
        config: dict[str, Any],
        sweep: TrialSetup,
        data: ImageData,
        hosts: Any = None,  # noqa: ANN401
    ) -> None:
        """Prepare the device and check that this worker can do the trial.

        Args:
            config: TRIAL_KEY and SHARE; for trials that are not in the sweep's `configs` also CONFIG and ANCESTORS.
            sweep: what all trials of the sweep have in common.
            data: the data set in Ray's object store; all trials of a node share its arrays without copying them.
            hosts: the HostKeeper, if trials may train on streams.

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
        gpus = share_of(config).gpus
        if gpus and not torch.cuda.is_available():
            raise RuntimeError(
                f"the node {platform.node()} gave this trial {gpus:g} GPU, and its torch "
                f"{torch.__version__} finds none: install the CUDA build there"
            )
        self._sweep = sweep
        self._data = data
        self._hosts = hosts
        self._assign(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take over the next trial."""
        self.cleanup()
        self._assign(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Replay or train one epoch; if the ledger cannot be opened, report the failure of the trial.

        Raises:
            RuntimeError: the trainable was not set up.
        """
        if self._trial is None:
            raise RuntimeError("it was not set up")
        return report(self._trial.step())

    def cleanup(self) -> None:
        """Write a checkpoint, and release the trial for other processes."""
        if self._trial is not None:
            self._trial.cleanup()

    def _assign(self, carried: dict[str, Any]) -> None:
        config, share = config_of(carried, self._sweep.configs), share_of(carried)
        ancestors = tuple(TrainConfig.from_dict(values) for values in carried.get(ANCESTORS, ()))
        trial = Assignment(str(carried[TRIAL_KEY]), config, ancestors, share)
        if share.streams and self._hosts is not None and can_share_process(config, self._sweep.run.execution):
            self._trial = HostedTrial(self._hosts, trial)
            return
        if self._own is None:  # Tune reuses an actor only for trials with as many CPUs and GPUs
            device = prepare_device(share.num_threads, use_gpu=share.gpus > 0, gpus=share.gpus)
            node = this_node(self._sweep.run.run_id)
            self._own = self.WORKER(self._sweep, self._data, device, node, None)
        self._own.assign(trial)
        self._trial = self._own
