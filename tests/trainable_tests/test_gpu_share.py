"""How many trainings share a GPU; the processes are made up, as no GPU is needed to choose."""

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import pytest

from trainable.gpu_share import (
    CONTEXT_BYTES,
    HEADROOM,
    Case,
    Needs,
    Sharing,
    choose_shares,
    memory_fraction,
    share_for,
)

GIB = 2**30
GPU_BYTES = 80 * GIB
SMALL: Case = ("resnet_preact_20", 32, "bf16")
LARGE: Case = ("resnet_preact_20", 4096, "bf16")


Rates = Mapping[Case, Mapping[int, float]]


class MadeUpCrew:
    def __init__(self, count: int, peaks: Mapping[Case, int], rates: Rates) -> None:
        self._count, self._peaks, self._rates = count, peaks, rates

    def needs(self, case: Case) -> Needs:
        return Needs(self._peaks[case], GPU_BYTES)

    def rate(self, case: Case) -> float:
        return self._rates[case][self._count]


def chosen(
    peaks: Mapping[Case, int], rates: Rates, on_streams: Rates = MappingProxyType({}), most: int = 8
) -> dict[Case, Sharing]:
    @contextlib.contextmanager
    def crew(count: int, streams: bool) -> Iterator[MadeUpCrew | None]:
        yield MadeUpCrew(count, peaks, on_streams if streams else rates) if count <= most else None

    return choose_shares(list(peaks), crew, on_streams)


def test_more_share_a_gpu_as_long_as_they_reach_more_together() -> None:
    rates = {SMALL: {1: 100.0, 2: 190.0, 4: 300.0, 8: 310.0}, LARGE: {1: 500.0, 2: 520.0}}
    found = chosen({SMALL: GIB, LARGE: 20 * GIB}, rates)
    assert found == {SMALL: Sharing(0.25, False, 300.0), LARGE: Sharing(1.0, False, 500.0)}


def test_streams_are_chosen_where_they_reach_more_than_processes() -> None:
    rates = {SMALL: {1: 100.0, 2: 110.0, 4: 110.0}, LARGE: {1: 500.0, 2: 500.0}}
    peaks = {SMALL: GIB, LARGE: GIB}
    streams = {SMALL: {2: 100.0, 4: 200.0, 8: 300.0}, LARGE: {2: 520.0, 4: 520.0}}
    found = chosen(peaks, rates, streams)
    assert found == {SMALL: Sharing(0.125, True, 300.0), LARGE: Sharing(1.0, False, 500.0)}
    assert chosen(peaks, rates, {SMALL: streams[SMALL]}, most=1)[SMALL] == Sharing(1.0, False, 100.0)
    assert not chosen(peaks, rates, {LARGE: {2: 600.0, 4: 600.0}})[SMALL].streams  # must not train on streams
    assert chosen(peaks, rates, {LARGE: {2: 600.0, 4: 600.0}})[LARGE] == Sharing(0.5, True, 600.0)


def test_memory_limits_them_with_headroom() -> None:
    growing = {SMALL: {count: 100.0 * count for count in (1, 2, 4, 8)}}
    twice = {SMALL: {count: 200.0 * count for count in (1, 2, 4, 8)}}
    for gib, gpus, on_streams in ((8, 1 / 4, 1 / 4), (7.6, 1 / 4, 1 / 8), (7.4, 1 / 8, 1 / 8), (70, 1.0, 1.0)):
        assert chosen({SMALL: int(gib * GIB)}, growing)[SMALL].gpus == gpus
        assert chosen({SMALL: int(gib * GIB)}, growing, twice)[SMALL] == Sharing(
            on_streams, gib < 70, twice[SMALL][round(1 / on_streams)] if gib < 70 else 100.0
        )
    most = int((GPU_BYTES / 2 - CONTEXT_BYTES) / HEADROOM)
    assert Needs(most, GPU_BYTES).fit(2, streams=False)
    assert not Needs(most + 1, GPU_BYTES).fit(2, streams=False)
    most = int((GPU_BYTES - CONTEXT_BYTES) / 2 / HEADROOM)
    assert Needs(most, GPU_BYTES).fit(2, streams=True)
    assert not Needs(most + 1, GPU_BYTES).fit(2, streams=True)
    most = 4 * GIB // 8 - CONTEXT_BYTES  # of a small GPU, on which each could not have a process of its own
    assert not Needs(most + 1, 4 * GIB).fit(8, streams=True)


def test_processors_limit_them() -> None:
    assert chosen({SMALL: GIB}, {SMALL: {1: 1.0, 2: 2.0, 4: 4.0}}, most=4)[SMALL] == Sharing(0.25, False, 4.0)


def test_a_batch_that_was_not_measured_gets_the_share_of_the_next_larger() -> None:
    measured = {SMALL: Sharing(0.125, streams=True), LARGE: Sharing(0.5)}
    assert share_for(SMALL, measured) == measured[SMALL]
    assert share_for(("resnet_preact_20", 33, "bf16"), measured) == measured[LARGE]
    assert share_for(("resnet_preact_20", 8, "bf16"), measured) == measured[SMALL]
    for case in (("resnet_preact_20", 8192, "bf16"), ("resnet_110", 8, "bf16"), ("resnet_preact_20", 8, "fp32")):
        assert share_for(case, measured) == Sharing(1.0)


@pytest.mark.parametrize("gpus", [1 / 2, 1 / 3, 1 / 4, 1 / 8])
def test_the_memory_of_all_shares_with_their_contexts_is_never_more_than_the_gpu_has(gpus: float) -> None:
    fraction = memory_fraction(gpus, GPU_BYTES)
    assert fraction is not None
    assert 0.9 * gpus < fraction < gpus
    assert round(1 / gpus) * (fraction * GPU_BYTES + CONTEXT_BYTES) <= GPU_BYTES


def test_whole_gpus_have_no_limit() -> None:
    assert memory_fraction(1.0, GPU_BYTES) is None
    assert memory_fraction(0.0, GPU_BYTES) is None
    assert memory_fraction(0.01, GIB) == 0.0  # smaller than a context
