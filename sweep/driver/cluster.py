"""Connects to Ray, on this machine or on a cluster, and knows what its nodes can run."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from sweep.driver import ray_environment
from sweep.driver.capacity import check_memory, check_possible, num_slots
from sweep.driver.gpu_shares import measured_shares
from sweep.driver.nodes import living_nodes, wait_for_nodes
from sweep.driver.resources import Resources
from sweep.driver.scratch import copy_source, scratch_folder
from trainable.config import PlannedTrial
from trainable.errors import UserError
from trainable.execution import COMPILE_NEEDS_GPU, Execution, Share
from trainable.gpu_share import Case
from trainable.probe import gpu_memory
from trainable.wording import first_line

OBJECT_STORE_SPARE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to Ray whose nodes can run the trials."""

    scratch: Path
    resources: Resources
    default_gpus: float
    """GPUs of a trial if neither the space nor the command line says."""
    measured: Mapping[Case, float]
    """Case -> measured share of a GPU; empty unless it was to be measured."""
    expected: Sequence[Share]
    """Shares of the trials that the cluster was opened for; those of its corners for a search."""

    @property
    def execution(self) -> Execution:
        return self.resources.execution

    def share(self, trial: PlannedTrial) -> Share:
        """Return the CPUs and GPUs of a trial.

        Raises:
            UserError: an expression cannot be computed, or gives an impossible number.
        """
        return self.resources.rule.share(trial, self.default_gpus, self.measured)

    @property
    def usual_share(self) -> Share:
        """The share that most trials have."""
        return Counter(self.expected).most_common(1)[0][0]

    def num_slots(self) -> int:
        """Return the number of trials that the present nodes can run at the same time."""
        slots = num_slots(living_nodes(), self.expected)
        most = self.resources.max_concurrent
        return slots if most is None else min(slots, most)

    def num_under_way(self) -> int:
        """Return the number of trials that a search may have started and not ended.

        This is `--max-concurrent` if given, since a cluster may grow with what waits for it.
        """
        return self.resources.max_concurrent or self.num_slots()

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
                check_memory(self.resources.rule, given, peaks.get(name, {}), gpu_bytes)


@contextlib.contextmanager
def connected(
    resources: Resources, trials: Sequence[PlannedTrial], data_bytes: int, image_size: int
) -> Iterator[Cluster]:
    """Start Ray on this machine or join a cluster, and leave nothing behind at the end.

    Args:
        trials: the trials to train, or the corners of a search.
        data_bytes: size of the data set, which goes into the object store.
        image_size: side of an image in pixels.

    Raises:
        UserError: there is no cluster at that address, or it could never run one of the trials.
    """
    with scratch_folder() as scratch:
        try:
            _start(resources, scratch, data_bytes)
            yield _checked_cluster(resources, trials, scratch, image_size)
        finally:
            logging.disable(logging.ERROR)  # Ray complains while it shuts down
            ray.shutdown()
            logging.disable(logging.NOTSET)


def _start(resources: Resources, scratch: Path, data_bytes: int) -> None:
    code = scratch / "code"
    copy_source(code)
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        "runtime_env": {"working_dir": str(code)},
    }
    if resources.is_joined:
        options["address"] = resources.address
    else:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "_temp_dir": str(scratch / "ray"),
            "object_store_memory": 2 * data_bytes + OBJECT_STORE_SPARE_BYTES,
        }
    ray_environment.prepare(joins_cluster=resources.is_joined)
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = f"a Ray cluster at --address {resources.address}" if resources.is_joined else "Ray on this machine"
        raise UserError(f"cannot reach {where}: {first_line(error)}") from None


def _checked_cluster(resources: Resources, trials: Sequence[PlannedTrial], scratch: Path, image_size: int) -> Cluster:
    """Refuse trials that would wait for ever, and measure shares of a GPU if asked to."""
    wait_for_nodes(resources.min_nodes)
    nodes, rule = living_nodes(), resources.rule
    has_gpus = any(node.gpus for node in nodes)
    default_gpus = 1.0 if has_gpus else 0.0
    given = [(trial, rule.share(trial, default_gpus)) for trial in trials]
    check_possible(rule, given, nodes)
    measured: dict[Case, float] = {}
    if rule.is_auto and has_gpus:
        measured = measured_shares(given, image_size)
        given = [(trial, rule.share(trial, default_gpus, measured)) for trial in trials]
    if resources.execution.compile and not any(share.gpus for _, share in given):
        raise UserError(COMPILE_NEEDS_GPU)
    return Cluster(scratch, resources, default_gpus, measured, [share for _, share in given])
