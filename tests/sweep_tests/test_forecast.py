"""How an estimate is told, and that of a run that is about to begin."""

import dataclasses
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.estimate.estimate import Estimate, PeakMemory
from sweep.estimate.forecast import estimate_run, estimate_text, usual_slots
from sweep.estimate.speeds import DeviceProfile
from sweep.estimate.wall_time import Interval
from sweep.estimate.work import DatasetSize
from tests.results_tests.result_samples import make_config, make_end, make_epoch, write_trial
from trainable.records import Status

FOUND = Estimate(
    wall={1: Interval(80.0, 65.0, 110.0), 2: Interval(45.0, 40.0, 60.0)},
    trial_seconds=[40.0, 40.0],
    memory=PeakMemory(1_230_000_000, 256, "resnet_8"),
    basis="9 trials of 1 run in the store on a processor, 1 thread",
)
HERE = DeviceProfile("a processor", 1)


def test_for_people() -> None:
    assert estimate_text(FOUND, 2) == (
        "  time   1m20s (1m05s to 1m50s), 1 trial at a time\n"
        "         45s (40s to 1m00s), 2 trials at a time (what this machine can run)\n"
        "         median (and 90 % interval), "
        "from 9 trials of 1 run in the store on a processor, 1 thread\n"
        "  memory at most 1.2 GB per trial (resnet_8, batch size 256)"
    )
    assert estimate_text(dataclasses.replace(FOUND, memory=None), 4).endswith("\n  memory unknown")


@pytest.mark.parametrize(
    ("num_slots", "numbers"), [(0, [1]), (1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])]
)
def test_the_numbers_of_slots_are_what_the_machine_can_run(num_slots: int, numbers: list[int]) -> None:
    assert usual_slots(num_slots) == numbers


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """One complete trial, with 100 images in 2 s per epoch, and one half-finished trial."""
    store = LocalStore(tmp_path)
    end = make_end(Status.COMPLETE, 1, test_correct_bits="ff" * 5)
    write_trial(store, make_config(epochs=1, batch_size=100), [make_epoch(1, 50.0)], end)
    half = make_config(epochs=100, batch_size=100)
    write_trial(store, half, [make_epoch(number, 50.0) for number in range(1, 51)])
    return store


def test_what_is_left_of_a_run(store: LocalStore) -> None:
    """Trials take 2.5 s per epoch; the begun one has 50 epochs left."""
    configs = {
        config.trial_key: config for config in (make_config(epochs=100, batch_size=100, seed=s) for s in (0, 1))
    }
    found = estimate_run(store, configs, DatasetSize("cifar10", 100, 40), HERE, num_slots=2)
    assert found is not None
    assert found.trial_seconds == pytest.approx([125.0, 250.0], rel=0.05)
    assert found.wall[2].median_seconds == pytest.approx(258.0, rel=0.1)


def test_without_history_there_is_none(store: LocalStore) -> None:
    configs = {"key": make_config(seed=3)}
    elsewhere = DeviceProfile("a GPU", 1)
    assert estimate_run(store, configs, DatasetSize("cifar10", 200, 40), elsewhere, num_slots=2) is None
