"""Connects to Ray, on this machine or on a cluster, and knows what its nodes can run."""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RpcError

from search_spaces.resources import ResourceRule
from sweep.driver import ray_environment
from sweep.driver.capacity import Node, check_memory, check_possible, num_slots, this_machine
from sweep.driver.gpu_shares import measured_shares
from sweep.driver.ray_guard import RayGuard
from sweep.driver.scratch import copy_source, refuse_full, scratch_folder, short_path
from sweep.request import RunRequest
from trainable.config import PlannedTrial
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.execution import COMPILE_NEEDS_GPU, Share
from trainable.gpu_share import Case, Sharing
from trainable.probe import gpu_memory
from trainable.provenance import gpus_are_hidden
from trainable.wording import first_line, say

OBJECT_STORE_SPARE_BYTES = 256 * 2**20
STARTED_TOO_SLOWLY = "timed out during startup"
POLL_SECONDS = 1.0
"""Time between two looks at the nodes of the cluster."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to Ray whose nodes can run the trials."""

    guard: RayGuard
    request: RunRequest
    rule: ResourceRule
    """CPUs and GPUs of each trial."""
    default_gpus: float
    """GPUs of a trial if neither the space nor the command line says."""
    measured: Mapping[Case, Sharing]
    """Case -> how it shares a GPU; empty unless it was to be measured."""
    expected: Sequence[Share]
    """Shares of the trials that the cluster was opened for; those of its corners for a search."""

    def share(self, trial: PlannedTrial) -> Share:
        """Return the CPUs and GPUs of a trial.

        Raises:
            UserError: an expression cannot be computed, or gives an impossible number.
        """
        return self.rule.share(trial, self.default_gpus, self.measured)

    @property
    def usual_share(self) -> Share:
        """The share that most trials have."""
        return Counter(self.expected).most_common(1)[0][0]

    def num_slots(self) -> int:
        """Return the number of trials that the present nodes can run at the same time."""
        slots = num_slots(living_nodes(), self.expected)
        most = self.request.max_concurrent
        return slots if most is None else min(slots, most)

    def num_under_way(self) -> int:
        """Return the number of trials that a search may have started and not ended.

        This is `--max-concurrent` if given, since a cluster may grow with what waits for it.
        """
        return self.request.max_concurrent or self.num_slots()

    def check_memory(self, trials: Sequence[PlannedTrial], peaks: Mapping[str, Mapping[Case, int]]) -> None:
        """Refuse shares of a GPU that are known to be too small.

        Args:
            peaks: device -> case -> peak memory in bytes.

        Raises:
            UserError: a trial would run out of memory.
        """
        given = [(trial, share) for trial in trials if 0 < (share := self.share(trial)).gpus < 1]
        if given and any(peaks.values()):
            share = given[0][1]
            look = ray.remote(gpu_memory).options(num_cpus=share.cpus, num_gpus=share.gpus)
            name, gpu_bytes = ray.get(look.remote())
            if gpu_bytes:  # otherwise the trials themselves report that torch finds no GPU
                check_memory(self.rule, given, peaks.get(name, {}), gpu_bytes)


@contextlib.contextmanager
def connected(
    request: RunRequest, rule: ResourceRule, trials: Sequence[PlannedTrial], data: ImageData
) -> Iterator[Cluster]:
    """Start Ray on this machine or join a cluster, and leave nothing behind at the end.

    Args:
        trials: the trials to train, or the corners of a search.
        data: the data set, which goes into Ray's object store.

    Raises:
        UserError: there is no cluster at that address, or it could never run one of the trials.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        ray_folder = stack.enter_context(short_path(scratch / "ray"))
        stack.enter_context(ray_environment.prepared(joins_cluster=request.is_joined))
        guard = RayGuard(scratch, joins_cluster=request.is_joined)
        try:
            _start(request, scratch, ray_folder, data.train_images.nbytes + data.test_images.nbytes)
            with guard.watching():
                yield _checked_cluster(request, rule, trials, guard, data.train_images.shape[1])
        finally:
            if guard.problem is not None:
                guard.abandon()
            else:
                logging.disable(logging.ERROR)  # Ray complains while it shuts down
                ray.shutdown()
                logging.disable(logging.NOTSET)


def _start(request: RunRequest, scratch: Path, ray_folder: Path, data_bytes: int) -> None:
    code = scratch / "code"
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        "runtime_env": {"working_dir": str(code)},
    }
    if request.is_joined:
        options["address"] = request.address
    else:
        options |= {
            "address": "local",
            "num_cpus": this_machine().cpus,
            **({"num_gpus": 0} if gpus_are_hidden() else {}),  # Ray would count `-1` as a GPU
            "include_dashboard": False,
            "_temp_dir": str(ray_folder),
            "object_store_memory": 2 * data_bytes + OBJECT_STORE_SPARE_BYTES,
        }
    try:
        copy_source(code)
        if request.is_joined:
            ray_environment.adopt_mode(str(request.address))
        ray.init(**options)
    except Exception as error:
        if STARTED_TOO_SLOWLY in str(error):  # Ray raises a bare Exception
            raise UserError("Ray did not start in time, the machine is busy: run the same command again") from None
        if not isinstance(error, (ConnectionError, ValueError, RuntimeError, OSError, RpcError)):
            raise
        refuse_full()
        where = f"a Ray cluster at --address {request.address}" if request.is_joined else "Ray on this machine"
        raise UserError(f"cannot reach {where}: {first_line(error)}") from None


def _checked_cluster(
    request: RunRequest, rule: ResourceRule, trials: Sequence[PlannedTrial], guard: RayGuard, image_size: int
) -> Cluster:
    """Refuse trials that would wait for ever, and measure shares of a GPU if asked to."""
    wait_for_nodes(request.min_nodes)
    nodes = living_nodes()
    has_gpus = any(node.gpus for node in nodes)
    default_gpus = 1.0 if has_gpus else 0.0
    given = [(trial, rule.share(trial, default_gpus)) for trial in trials]
    check_possible(rule, given, nodes)
    measured: dict[Case, Sharing] = {}
    if rule.is_auto and has_gpus:
        measured = measured_shares(given, nodes, image_size, compiled=request.compile)
        given = [(trial, rule.share(trial, default_gpus, measured)) for trial in trials]
    if request.compile and not any(share.gpus for _, share in given):
        raise UserError(COMPILE_NEEDS_GPU)
    return Cluster(guard, request, rule, default_gpus, measured, [share for _, share in given])


def living_nodes() -> list[Node]:
    """Return the CPUs and GPUs of each node of the cluster that is alive."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in resources]


def wait_for_nodes(count: int) -> None:
    """Wait until the cluster has `count` nodes, and tell the user that it waits."""
    if (found := len(living_nodes())) < count:
        say(f"waiting for {count} nodes, {found} there ...", flush=True)
    while len(living_nodes()) < count:
        time.sleep(POLL_SECONDS)
