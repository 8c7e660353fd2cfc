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
from trainable.execution import Execution
from trainable.gpu_share import Case, Needs, Sharing, choose_shares
from trainable.probe import GpuProbe, StreamsProbe
from trainable.side_by_side import can_share_process
from trainable.wording import counted, one_line, say

MEASURE_SECONDS = 1.0
"""Time for which each number of trainings on a GPU is measured."""


def measured_shares(
    given: Given, nodes: Sequence[Node], image_size: int, *, compiled: bool = False
) -> dict[Case, Sharing]:
    """Return how each case of these trials shares a GPU.

    Raises:
        UserError: a configuration does not fit a whole GPU.
    """
    cpus = max(share.cpus for _, share in given)
    num_threads = max(share.num_threads for _, share in given)
    cases = sorted({case_of(trial.config) for trial, _ in given})
    execution = Execution(compile=compiled)
    on_streams = {case_of(trial.config) for trial, _ in given if can_share_process(trial.config, execution)}
    say(f"measuring how many trials share a GPU: {counted(len(cases), 'configuration')} ...", flush=True)
    crews = _GpuCrews(nodes, cpus, (num_threads, image_size, provided()))
    found = choose_shares(cases, crews.start, on_streams)
    for (model, batch_size, precision), sharing in found.items():
        name, way = architecture_fields(model)["model"], ""
        if sharing.gpus < 1:
            way = " on streams of one process" if sharing.streams else f" in processes{' (MPS)' * crews.mps_runs}"
        text = f"gpus {sharing.gpus:g}{way}, {sharing.rate:,.0f} images/s a GPU"
        say(f"  {name}, batch size {batch_size}, {precision}: {text}", flush=True)
    return found


class _Processes:
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


class _Streams:
    """Streams of one process that share one GPU and train the same configuration. What fails is not chosen."""

    def __init__(self, probe: Any) -> None:  # noqa: ANN401
        self._probe = probe

    def needs(self, case: Case) -> Needs:
        """Return what one of the trainings needs."""
        with contextlib.suppress(ray.exceptions.RayError):
            needs: Needs = ray.get(self._probe.prepare.remote(case))
            return needs
        return Needs(1, 0)

    def rate(self, case: Case) -> float:
        """Return the images per second of all trainings together; `needs` has prepared the first one."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self._probe.prepare_others.remote(case))
            return float(ray.get(self._probe.measure.remote(MEASURE_SECONDS)))
        return 0.0


class _GpuCrews:
    """Starts trainings on one GPU of the cluster."""

    def __init__(self, nodes: Sequence[Node], cpus: float, arguments: tuple[int, int, Sequence[UserCode]]) -> None:
        """
        Args:
            cpus: number of CPUs of each trial.
            arguments: those of GpuProbe.
        """
        self._nodes = nodes
        self._cpus = cpus
        self._arguments = arguments
        self._has_cuda = self.mps_runs = False

    @contextlib.contextmanager
    def start(self, count: int, streams: bool) -> Iterator[_Processes | _Streams | None]:
        """Start `count` trainings on one GPU.

        Gives None if no node with a GPU has enough CPUs for them, or if torch found none that could have streams.
        """
        has_room = any(node.gpus and node.cpus >= count * self._cpus for node in self._nodes)
        if not has_room or (streams and not self._has_cuda):
            yield None
            return
        group = placement_group([{"CPU": count * self._cpus, "GPU": 1.0}])
        strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        probes = []
        try:
            if streams:
                options = {"num_cpus": self._cpus, "num_gpus": 1.0, "scheduling_strategy": strategy}
                probes.append(ray.remote(StreamsProbe).options(**options).remote(count, *self._arguments))
                yield _Streams(probes[0])
                return
            for _ in range(count):
                options = {"num_cpus": self._cpus, "num_gpus": 1 / count, "scheduling_strategy": strategy}
                probes.append(ray.remote(GpuProbe).options(**options).remote(*self._arguments))
            self._has_cuda, self.mps_runs = ray.get(probes[0].means.remote())
            yield _Processes(probes)
        except ray.exceptions.RayTaskError as error:
            raise UserError(f"gpus: auto: {one_line(error.cause or error)}") from None
        finally:
            for probe in probes:
                ray.kill(probe)
            remove_placement_group(group)
