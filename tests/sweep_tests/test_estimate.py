"""From speeds to an interval for the wall time."""

import dataclasses
import heapq
import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from sweep.estimate.estimate import Estimate, estimate
from sweep.estimate.speeds import DeviceProfile, NoHistoryError, RunOverhead, Speed
from sweep.estimate.wall_time import LEVEL, Interval, longest_first, makespans
from sweep.estimate.work import TrialWork
from tests.sweep_tests.estimate_samples import HERE, MODEL, OVERHEADS, make_speed, make_work, true_seconds
from trainable.config import TrainConfig

HISTORY = [
    make_speed(size, factor, run)
    for run, factor in (("a", 0.97), ("b", 1.0), ("c", 1.03))
    for size in (16, 64, 256)
    for _ in range(2)
]


def alone(works: Sequence[TrialWork], speeds: Sequence[Speed], slots: Sequence[int] = (1,)) -> Estimate:
    return estimate(works, speeds, OVERHEADS, HERE, slots)


def width(interval: Interval) -> float:
    return interval.high_seconds / interval.low_seconds


@pytest.mark.parametrize("size", [16, 64, 256])
def test_what_was_measured_comes_back(size: int) -> None:
    work = make_work(size)
    found = alone([work], HISTORY)
    assert found.wall[1].median_seconds == pytest.approx(true_seconds(work) + 5.1, rel=0.03)
    assert found.trial_seconds == pytest.approx([true_seconds(work)], rel=0.03)
    assert found.wall[1].low_seconds < true_seconds(work) < found.wall[1].high_seconds
    assert 1.05 < width(found.wall[1]) < 1.6


def test_between_batch_sizes_it_interpolates_and_knows_less() -> None:
    between, measured, beyond = (alone([make_work(size)], HISTORY).wall[1] for size in (32, 64, 4096))
    assert between.median_seconds == pytest.approx(true_seconds(make_work(32)), rel=0.15)
    assert between.low_seconds < true_seconds(make_work(32)) < between.high_seconds
    assert width(measured) < width(between) < width(beyond)


def test_another_model_is_judged_by_its_cost() -> None:
    work = make_work(64, "resnet_110")
    found = alone([work], HISTORY)
    assert found.wall[1].median_seconds == pytest.approx(true_seconds(work), rel=0.1)
    assert width(found.wall[1]) > 2 * width(alone([make_work(64)], HISTORY).wall[1])
    assert "resnet_110 not measured, estimated from the cost of resnet_preact_20" in found.basis


def test_own_models_are_judged_by_nothing_but_their_own_speed() -> None:
    own = TrainConfig(model="my_net.py:Net", model_fingerprint="0" * 16).architecture
    measured = [dataclasses.replace(speed, model=own) for speed in HISTORY]
    work = dataclasses.replace(make_work(64), model=own)
    found = alone([work, make_work(16)], [*measured, make_speed(16)])
    assert found.trial_seconds == pytest.approx([true_seconds(make_work(64)), true_seconds(make_work(16))], rel=0.05)
    for unknown, speeds in ((work, HISTORY), (make_work(16), measured)):
        with pytest.raises(NoHistoryError, match=r"was not measured on a processor, 1 thread as it is"):
            alone([unknown], speeds)


def test_more_is_known_from_more() -> None:
    one = alone([make_work(64)], HISTORY[:1]).wall[1]
    all_of_one_run = alone([make_work(64)], HISTORY[:6]).wall[1]
    assert width(one) > width(all_of_one_run) > width(alone([make_work(64)], HISTORY).wall[1])


def test_a_probe_says_less_than_a_run() -> None:
    probe = [make_speed(64, run="")]
    assert width(alone([make_work(64)], probe).wall[1]) > width(alone([make_work(64)], [make_speed(64)]).wall[1])
    assert alone([make_work(64)], probe).basis == "a probe on a processor, 1 thread"


def test_the_next_run_as_a_whole_may_be_slow() -> None:
    """Many trials do not average it out."""
    many = alone([make_work(64)] * 100, HISTORY).wall[1]
    assert width(many) > 1.05


def test_the_interval_contains_what_comes_as_often_as_it_says() -> None:
    """Histories and the run to come drawn from the same law, with noise of runs and of trials."""
    random = np.random.default_rng(1)
    works = [make_work(size) for size in (16, 32, 64, 128, 256)]
    overhead = OVERHEADS[0].start_up_seconds + len(works) * OVERHEADS[0].seconds_per_trial
    num_inside, num_tries = 0, 80
    for _ in range(num_tries):
        run_scale, trial_scale = random.choice([0.03, 0.1, 0.2]), random.choice([0.02, 0.06])
        speeds = []
        for run in range(random.integers(1, 5)):
            deviation = run_scale * random.standard_normal()
            speeds += [
                make_speed(size, np.exp(deviation + trial_scale * random.standard_normal()), f"run {run}")
                for size in (16, 64, 256)
            ]
        factors = np.exp(run_scale * random.standard_normal() + trial_scale * random.standard_normal(len(works)))
        truth = sum(true_seconds(work) * factor for work, factor in zip(works, factors, strict=True))
        interval = alone(works, speeds).wall[1]
        num_inside += interval.low_seconds <= truth + overhead <= interval.high_seconds
    assert LEVEL - 0.12 <= num_inside / num_tries <= 1.0


def test_only_this_device_profile_and_precision_count() -> None:
    elsewhere = [
        make_speed(64, 9.0, profile=DeviceProfile("a processor", 2)),
        make_speed(64, 9.0, precision_resolved="bf16"),
    ]
    assert alone([make_work(64)], [*HISTORY, *elsewhere]).wall == alone([make_work(64)], HISTORY).wall
    with pytest.raises(NoHistoryError, match=r"on a processor, 1 thread \(only on a processor, 2 threads\)"):
        alone([make_work(64)], elsewhere[:1])
    explicit = TrialWork(MODEL, 64, "fp16", epochs=1, train_images_per_epoch=1, eval_images_per_epoch=1)
    with pytest.raises(NoHistoryError, match="in precision fp16"):
        alone([explicit], HISTORY)


@pytest.mark.parametrize("latest", [True, False])
def test_trials_with_and_without_the_fused_kernel_are_not_mixed(latest: bool) -> None:
    now, before = ([make_speed(64, factor, fused=kind)] * 3 for factor, kind in ((1.0, latest), (1.3, not latest)))
    own = make_speed(64, model="resnet_8", fused=False)  # a model that never had it
    works = [make_work(64), make_work(64, "resnet_8")]
    assert alone(works, [*now, own, *before]).wall == alone(works, [*now, own]).wall
    assert alone(works, before).basis.startswith("3 trials")  # better than nothing


def test_what_auto_is_was_seen() -> None:
    both = [make_speed(64, 0.5, precision_resolved="bf16", precision="auto"), make_speed(64, precision="fp32")]
    work = make_work(64)
    assert alone([work], both).trial_seconds == pytest.approx([true_seconds(work) / 2], rel=0.01)


@pytest.mark.parametrize("num_slots", [2, 3])
def test_slots_shorten_the_time_but_not_below_the_longest(num_slots: int) -> None:
    works = [make_work(64, epochs=100), *[make_work(64, epochs=1)] * 10]
    found = alone(works, HISTORY, (1, num_slots))
    assert found.wall[1].median_seconds > found.wall[num_slots].median_seconds
    assert found.wall[num_slots].median_seconds == pytest.approx(true_seconds(works[0]), rel=0.05)


def test_overheads_are_learnt() -> None:
    """Overheads without a record are guessed, with a wide interval."""
    work = TrialWork(MODEL, 64, "auto", epochs=1, train_images_per_epoch=1, eval_images_per_epoch=1)
    guessed = estimate([work], HISTORY, [], HERE, [1]).wall[1]
    learnt = estimate(
        [work], HISTORY, [RunOverhead(19.0, 1.0), RunOverhead(20.0, 1.0), RunOverhead(21.0, 1.0)] * 5, HERE, [1]
    )
    assert width(guessed) > 2.5
    assert 15 < learnt.wall[1].low_seconds < 21 < learnt.wall[1].high_seconds < 28


def scheduled(seconds: Sequence[float], num_slots: int) -> float:
    """Wall time of trials that start in this order, each on the slot that is free first; computed with a heap."""
    free = [0.0] * num_slots
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def best_possible(seconds: Sequence[float], num_slots: int) -> float:
    """The shortest wall time over all ways to distribute the trials."""
    return min(
        max(
            sum(duration for duration, slot in zip(seconds, slots, strict=True) if slot == number)
            for number in range(num_slots)
        )
        for slots in itertools.product(range(num_slots), repeat=len(seconds))
    )


@pytest.mark.parametrize("num_slots", [1, 2, 3, 9])
def test_the_schedule(num_slots: int) -> None:
    random = np.random.default_rng(num_slots)
    for _ in range(10):
        seconds = random.gamma(1.0, size=7)
        in_order = seconds[longest_first(seconds)]
        found = makespans(in_order[None, :], num_slots)
        assert found == pytest.approx(scheduled(in_order.tolist(), num_slots))
        if num_slots <= 3:
            least = best_possible(seconds.tolist(), num_slots)
            assert least - 1e-9 <= found[0] <= (4 / 3 - 1 / (3 * num_slots)) * least + 1e-9


def test_draws_are_scheduled_each_by_itself() -> None:
    assert makespans(np.array([[3.0, 2.0, 2.0], [3.0, 1.0, 1.0]]), 2) == pytest.approx([4.0, 3.0])


def test_equals_keep_their_order() -> None:
    assert longest_first([1.0, 2.0, 1.0, 2.0]) == [1, 3, 0, 2]
    assert longest_first(alone([make_work(64)] * 4, HISTORY).trial_seconds) == [0, 1, 2, 3]


def test_memory_follows_the_batch_size() -> None:
    speeds = [make_speed(size, peak_memory_bytes=need) for size, need in ((10, 100), (20, 300), (20, 280))]

    def need(*sizes: int) -> int | None:
        memory = alone([make_work(size) for size in sizes], speeds).memory
        return None if memory is None else memory.num_bytes

    assert [need(5), need(10), need(15), need(20), need(40), need(5, 40)] == [100, 100, 200, 300, 600, 600]
    assert alone([make_work(64)], HISTORY).memory is None
