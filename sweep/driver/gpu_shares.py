"""Measures how many trials share a GPU, with trainings on one GPU of the cluster (`gpus: auto`)."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from models.user_code import UserCode, provided
from search_spaces.resources import case_of
from sweep.driver.capacity import Given, Node
from trainable.config import architecture_fields
from trainable.errors import UserError
from trainable.gpu_share import Case, Needs, choose_shares
from trainable.probe import GpuProbe
from trainable.wording import counted, one_line, say

MEASURE_SECONDS = 1.0
"""Time for which each number of trainings on a GPU is measured."""


def measured_shares(
    given: Given, nodes: Sequence[Node], image_size: int, sources: Sequence[UserCode] = ()
) -> dict[Case, float]:
    """Return the share of a GPU for each case of these trials.

    Raises:
        UserError: a configuration does not fit a whole GPU.
    """
    cpus = max(share.cpus for _, share in given)
    num_threads = max(share.num_threads for _, share in given)
    cases = sorted({case_of(trial.config) for trial, _ in given})
    say(f"measuring how many trials share a GPU: {counted(len(cases), 'configuration')} ...", flush=True)
    found = choose_shares(cases, lambda count: _gpu_crew(count, nodes, cpus, (num_threads, image_size, provided())))
    for (model, batch_size, precision), (share, rate) in found.items():
        name = architecture_fields(model)["model"]
        say(f"  {name}, batch size {batch_size}, {precision}: gpus {share:g}, {rate:,.0f} images/s a GPU", flush=True)
    return {case: share for case, (share, _) in found.items()}


class _GpuCrew:
    """Processes that share one GPU and train the same configuration."""

    def __init__(self, probes: Sequence[Any]) -> None:
        self._probes = probes

    def needs(self, case: Case) -> Needs:
        """Return what one of the processes needs."""
        needs: Needs = ray.get(self._probes[0].prepare.remote(case))
        return needs

    def rate(self, case: Case) -> float:
        """Return the images per second of all processes together; `needs` has prepared the first one."""
        ray.get([probe.prepare.remote(case) for probe in self._probes[1:]])
        return float(sum(ray.get([probe.measure.remote(MEASURE_SECONDS) for probe in self._probes])))


@contextlib.contextmanager
def _gpu_crew(
    count: int, nodes: Sequence[Node], cpus: float, arguments: tuple[int, int, Sequence[UserCode]]
) -> Iterator[_GpuCrew | None]:
    """Start `count` processes on one GPU; None if no node with a GPU has enough CPUs for them.

    Args:
        arguments: those of GpuProbe.
    """
    if not any(node.gpus and node.cpus >= count * cpus for node in nodes):
        yield None
        return
    group = placement_group([{"CPU": count * cpus, "GPU": 1.0}])
    actor = ray.remote(GpuProbe)
    probes = []
    try:
        for _ in range(count):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
            options = actor.options(num_cpus=cpus, num_gpus=1 / count, scheduling_strategy=strategy)
            probes.append(options.remote(*arguments))
        yield _GpuCrew(probes)
    except ray.exceptions.RayTaskError as error:
        raise UserError(f"gpus: auto: {one_line(error.cause or error)}") from None
    finally:
        for probe in probes:
            ray.kill(probe)
        remove_placement_group(group)
