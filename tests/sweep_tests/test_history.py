"""Speeds read back from a store."""

import os
import shutil
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.local_store import LocalStore
from sweep.estimate import history
from sweep.estimate.forecast import unmeasured
from sweep.estimate.history import read_speeds
from sweep.estimate.speeds import DeviceProfile, Speed
from sweep.estimate.work import trial_work
from tests.results_tests.result_samples import (
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from tests.sweep_tests.estimate_samples import HERE, make_speed, make_work
from trainable.config import TrainConfig
from trainable.ledger.ledger import Ledger
from trainable.records import Status

EPOCHS = [make_epoch(1, 50.0), make_epoch(2, 40.0, train_seconds=4.0, images_per_second=25.0, eval_seconds=1.5)]
"""200 images in 6 s, two evaluations in 2 s."""
TESTED = "ff" * 5
"""40 test images."""
SPEED = Speed(
    profile=DeviceProfile("a processor", 1),
    model="resnet_preact_20",
    batch_size=128,
    precision="auto",
    precision_resolved="fp32",
    run="run",
    train_seconds_per_image=6 / 200,
    eval_seconds_per_image=2 / 80,
    peak_memory_bytes=1000,
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def hold(store: LocalStore, config: TrainConfig) -> None:
    write_trial(store, config, EPOCHS, make_end(Status.COMPLETE, 2, test_correct_bits=TESTED, peak_memory_bytes=1000))


def test_a_trial_is_a_speed(store: LocalStore) -> None:
    hold(store, make_config())
    assert read_speeds(store, {"cifar10"}) == [SPEED]
    assert read_speeds(store, {"digits"}) == []


def test_ghost_batches_are_as_fast_as_batches_of_their_size(store: LocalStore) -> None:
    config = make_config(batch_size=512, ghost_batch_size=128)
    hold(store, config)
    assert read_speeds(store, {"cifar10"}) == [SPEED]
    assert trial_work(config, 1, (50_000, 10_000)).batch_size == 128


def test_no_store_no_speeds(store: LocalStore) -> None:
    assert read_speeds(LocalStore(store.path / "none"), {"cifar10"}) == []


def test_held_out_images_are_evaluated_too(store: LocalStore) -> None:
    hold(store, make_config(holdout=0.2))  # 100 of 125 are trained on
    (speed,) = read_speeds(store, {"cifar10"})
    assert speed.eval_seconds_per_image == pytest.approx(2 / (2 * (40 + 25)))


def test_each_process_that_worked_on_a_trial_is_a_speed(store: LocalStore) -> None:
    config = make_config(test_subset=40)
    with Ledger(store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(make_attempt(run_id="one", execution="fused eager"))
        ledger.append(EPOCHS[0])
        ledger.begin(make_attempt(2, run_id="two", device="a GPU", execution="compiled graph"))
        ledger.append(make_epoch(2, 40.0, attempt=2, train_seconds=1.0, images_per_second=100.0))
    first, second = read_speeds(store, {"cifar10"})
    assert (first.fused, second.fused) == (True, False)
    assert (first.run, first.profile, first.train_seconds_per_image) == (
        "one",
        DeviceProfile("a processor", 1),
        2 / 100,
    )
    assert (second.run, second.profile, second.train_seconds_per_image) == (
        "two",
        DeviceProfile("a GPU", 1, compiled=True),
        1 / 100,
    )


def test_epochs_that_diverged_or_were_not_evaluated_tell_nothing(store: LocalStore) -> None:
    write_trial(store, make_config(), [make_epoch(1, None, test_loss=None)], make_end(Status.DIVERGED, 1))
    write_trial(store, make_config(seed=1), [make_epoch(1, 50.0)])  # how many it evaluates is not known yet
    assert read_speeds(store, {"cifar10"}) == []


def test_the_latest_trials_are_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_TRIALS", 2)
    for seed, size in enumerate((10, 20, 30)):
        config = make_config(batch_size=size, seed=seed)
        hold(store, config)
        os.utime(store.trial_folder(config.trial_key) / "epochs.jsonl", (seed, 100 - seed))
    assert [speed.batch_size for speed in read_speeds(store, {"cifar10"})] == [10, 20]


def test_parquet_serves_where_the_ledgers_are_gone(store: LocalStore) -> None:
    config = make_config()
    hold(store, config)
    manifest = make_manifest([config])
    with store.driving(manifest):
        write_tables(*Collector(store, manifest).tables(), store, "sweep")
    shutil.rmtree(store.trials_folder)
    (speed,) = read_speeds(store, {"cifar10"})
    assert speed.train_seconds_per_image == pytest.approx(SPEED.train_seconds_per_image)
    assert speed.eval_seconds_per_image == pytest.approx(SPEED.eval_seconds_per_image)
    assert (speed.profile, speed.run, speed.batch_size) == (SPEED.profile, "sweep", 128)


def test_a_damaged_parquet_file_tells_nothing(store: LocalStore) -> None:
    (store.path / "sweep").mkdir()
    (store.path / "sweep" / "trials.parquet").write_bytes(b"torn")
    assert read_speeds(store, {"cifar10"}) == []


def test_what_has_to_be_probed() -> None:
    works = [make_work(64), make_work(16), make_work(16, epochs=3), make_work(64, "resnet_8")]
    speeds = [make_speed(64), make_speed(16, profile=DeviceProfile("elsewhere", 1))]
    expected = [("resnet_preact_20", 16, "auto"), ("resnet_8", 64, "auto")]
    assert unmeasured(works, speeds, HERE) == expected
