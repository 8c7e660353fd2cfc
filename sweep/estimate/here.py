"""The machine on which this process runs, as estimates see it."""

import os
from collections.abc import Sequence

from search_spaces.resources import ResourceRule
from sweep.driver.capacity import Capacity, Node, capacity
from sweep.estimate.speeds import DeviceProfile
from trainable.config import PlannedTrial
from trainable.provenance import gpu_names, processor_name


def device_profile_here(num_threads: int, *, use_gpu: bool, compiled: bool = False) -> DeviceProfile:
    """Describe this machine as the trials that run on it record it."""
    gpus = gpu_names() if use_gpu else []
    return DeviceProfile(gpus[0] if gpus else processor_name(), num_threads, compiled)


def capacity_here(rule: ResourceRule, trials: Sequence[PlannedTrial]) -> Capacity:
    """Return what these trials are given, and how many of them this machine can run at the same time."""
    return capacity(rule, trials, this_machine())


def this_machine() -> Node:
    """Return the CPUs and GPUs of this machine that this process may use."""
    return Node(len(os.sched_getaffinity(0)), len(gpu_names()))
