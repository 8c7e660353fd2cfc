"""The Parquet writer rewrites the Parquet files soon, but not often."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from results.store.local_store import LocalStore
from sweep.observers import parquet_writer
from sweep.observers.parquet_writer import MAX_SHARE, ParquetWriter
from tests.results_tests.result_samples import make_config, make_epoch, make_manifest, write_trial
from trainable.records import Progress, Status

PROGRESS = Progress(None, Status.INCOMPLETE, replayed=False)


class Clock:
    """A clock that only moves by the `seconds` given to it and by the cost of every write."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.write_cost = 0.0
        self.writes = 0

    def monotonic(self) -> float:
        return self.now

    def write_tables(self, *arguments: object) -> None:
        self.writes += 1
        self.now += self.write_cost


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(parquet_writer, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(parquet_writer, "write_tables", clock.write_tables)
    return clock


@pytest.fixture
def writer(tmp_path: Path, clock: Clock) -> ParquetWriter:
    return ParquetWriter(LocalStore(tmp_path), make_manifest([make_config()]))


def test_nothing_new_nothing_written(writer: ParquetWriter, clock: Clock) -> None:
    writer.on_trial_start("key")
    writer.on_tick()
    assert clock.writes == 0


def test_a_change_is_written_at_the_next_tick_and_once(writer: ParquetWriter, clock: Clock) -> None:
    writer.on_progress("key", PROGRESS)
    assert clock.writes == 0
    for _ in range(3):
        writer.on_tick()
        clock.now += 10
    assert clock.writes == 1


def test_a_trial_that_ended_is_a_change(writer: ParquetWriter, clock: Clock) -> None:
    writer.on_progress("key", Progress(None, Status.FAILED, replayed=False, error="error"))
    writer.on_tick()
    assert clock.writes == 1


def test_at_most_once_a_second(writer: ParquetWriter, clock: Clock) -> None:
    for _ in range(100):
        writer.on_progress("key", PROGRESS)
        writer.on_tick()
        clock.now += 0.0625
    assert clock.writes == 7  # 6.25 seconds


def test_a_costly_write_is_done_less_often(writer: ParquetWriter, clock: Clock) -> None:
    clock.write_cost = 2.0
    begin = clock.now
    while clock.now < begin + 420:
        writer.on_progress("key", PROGRESS)
        writer.on_tick()
        clock.now += 1.0
    assert clock.writes == 10  # 2 s of writing, 40 s of rest
    assert clock.writes * clock.write_cost <= MAX_SHARE * (clock.now - begin)


def test_write_does_not_wait(writer: ParquetWriter, clock: Clock) -> None:
    writer.write()
    writer.write()
    assert clock.writes == 2


def test_the_real_files(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    config = make_config()
    with store.driving(make_manifest([config])):
        real = ParquetWriter(store, make_manifest([config]))
        write_trial(store, config, [make_epoch(1, 10.0)])
        real.on_progress(config.trial_key, PROGRESS)
        real.write()
    assert (tmp_path / "sweep" / "trials.parquet").exists()
    assert (tmp_path / "sweep" / "epochs.parquet").exists()
