"""How many trainings share a GPU; the processes are made up, as no GPU is needed to choose."""

import contextlib
from collections.abc import Iterator, Mapping

import pytest

from trainable.gpu_share import CONTEXT_BYTES, HEADROOM, Case, Needs, choose_shares, memory_fraction, share_for

GIB = 2**30
GPU_BYTES = 80 * GIB
SMALL: Case = ("resnet_preact_20", 32, "bf16")
LARGE: Case = ("resnet_preact_20", 4096, "bf16")


class MadeUpCrew:
    def __init__(self, count: int, peaks: Mapping[Case, int], rates: Mapping[Case, Mapping[int, float]]) -> None:
        self._count, self._peaks, self._rates = count, peaks, rates

    def needs(self, case: Case) -> Needs:
        return Needs(self._peaks[case], GPU_BYTES)

    def rate(self, case: Case) -> float:
        return self._rates[case][self._count]


def chosen(
    peaks: Mapping[Case, int], rates: Mapping[Case, Mapping[int, float]], most: int = 8
) -> dict[Case, tuple[float, float]]:
    @contextlib.contextmanager
    def crew(count: int) -> Iterator[MadeUpCrew | None]:
        yield MadeUpCrew(count, peaks, rates) if count <= most else None

    return choose_shares(list(peaks), crew)


def test_more_share_a_gpu_as_long_as_they_reach_more_together() -> None:
    rates = {SMALL: {1: 100.0, 2: 190.0, 4: 300.0, 8: 310.0}, LARGE: {1: 500.0, 2: 520.0}}
    found = chosen({SMALL: GIB, LARGE: 20 * GIB}, rates)
    assert found == {SMALL: (0.25, 300.0), LARGE: (1.0, 500.0)}


def test_memory_limits_them_with_headroom() -> None:
    growing = {count: 100.0 * count for count in (1, 2, 4, 8)}
    assert chosen({SMALL: 8 * GIB}, {SMALL: growing})[SMALL][0] == 1 / 4
    assert chosen({SMALL: int(7.4 * GIB)}, {SMALL: growing})[SMALL][0] == 1 / 8
    assert chosen({SMALL: 70 * GIB}, {SMALL: growing})[SMALL][0] == 1.0
    most = int((GPU_BYTES / 2 - CONTEXT_BYTES) / HEADROOM)
    assert Needs(most, GPU_BYTES).fit(2)
    assert not Needs(most + 1, GPU_BYTES).fit(2)


def test_processors_limit_them() -> None:
    assert chosen({SMALL: GIB}, {SMALL: {1: 1.0, 2: 2.0, 4: 4.0}}, most=4)[SMALL] == (0.25, 4.0)


def test_a_batch_that_was_not_measured_gets_the_share_of_the_next_larger() -> None:
    measured = {SMALL: 0.125, LARGE: 0.5}
    assert share_for(SMALL, measured) == 0.125
    assert share_for(("resnet_preact_20", 33, "bf16"), measured) == 0.5
    assert share_for(("resnet_preact_20", 8, "bf16"), measured) == 0.125
    assert share_for(("resnet_preact_20", 8192, "bf16"), measured) == 1.0
    assert share_for(("resnet_110", 8, "bf16"), measured) == 1.0
    assert share_for(("resnet_preact_20", 8, "fp32"), measured) == 1.0


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
