"""The counters for Prometheus, read back by Prometheus's own parser."""

import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from results.store.opening import open_store
from sweep.observers.parquet_writer import ParquetWriter
from sweep.observers.prometheus import INTERVAL_SECONDS, METRICS, MetricsWriter
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.ledger.remote import Remote, RemoteError
from trainable.records import Progress, Status

CONFIGS = {status: make_config(seed=seed) for seed, status in enumerate(Status)}
WAITING = make_config(seed=99)
ERRORS = {Status.COMPLETE: 9.0, Status.DIVERGED: 1.0, Status.FAILED: 2.0}
Values = dict[tuple[str, str], float]
"""(name, value of the label `status`, or nothing) -> value."""


def parsed(text: str) -> Values:
    """Every sample of the file; all of them carry the sweep's name."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.labels.pop("sweep") for sample in samples} == {"sweep"}
    values = {
        (sample.name.removeprefix("batchscape_"), sample.labels.get("status", "")): sample for sample in samples
    }
    assert len(values) == len(samples)
    assert not [sample for sample in samples if sample.timestamp is not None]  # the collector refuses these
    return {key: float(sample.value) for key, sample in values.items()}


def read(store: LocalStore) -> Values:
    return parsed((store.sweep_folder("sweep") / METRICS).read_text())


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A trial of every status with two epochs, the last with an error of its own."""
    store = LocalStore(tmp_path)
    for status, config in CONFIGS.items():
        epochs = [make_epoch(1, 50.0), make_epoch(2, ERRORS.get(status, 5.0))]
        write_trial(store, config, epochs, None if status is Status.INCOMPLETE else make_end(status, 2))
    return store


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest([*CONFIGS.values(), WAITING])


def trained(config: TrainConfig, epoch: int, status: Status = Status.INCOMPLETE) -> tuple[str, Progress]:
    return config.trial_key, Progress(make_epoch(epoch, 8.0), status, replayed=False)


def test_a_run_counts_what_it_trains_and_the_sweep_all_that_it_holds(store: LocalStore, manifest: Manifest) -> None:
    again, writer = CONFIGS[Status.INCOMPLETE], ParquetWriter(store, manifest)
    with store.driving(manifest):
        with writer.driven(num_slots=3):
            before = read(store)
            writer.on_trial_start(again.trial_key)
            writer.on_progress(again.trial_key, Progress(make_epoch(2, 8.0), Status.INCOMPLETE, replayed=True))
            writer.on_progress(*trained(again, 3))
            writer.on_trial_start(WAITING.trial_key)
        writer.write()
    after = read(store)
    trials = {status: value for (name, status), value in before.items() if name == "trials"}
    assert trials == {status.value.lower(): 1.0 for status in Status} | {"running": 0.0, "waiting": 1.0}
    assert (before["epochs_done", ""], before["slots", ""], before["driver_running", ""]) == (10.0, 3.0, 1.0)
    assert before["epochs_trained_total", ""] == 0.0
    assert before["best_test_error_percent", ""] == 9.0  # of complete ones alone
    assert ("best_holdout_error_percent", "") not in before
    counted = ("epochs_trained", "images_trained", "train_seconds", "eval_seconds")
    assert [after[f"{name}_total", ""] for name in counted] == [1.0, 100.0, 2.0, 0.5]
    assert after["driver_running", ""] == 0.0
    assert after["last_update_timestamp_seconds", ""] >= before["last_update_timestamp_seconds", ""] > 1.7e9


def test_trials_at_work_are_running_and_neither_waiting_nor_incomplete(store: LocalStore, manifest: Manifest) -> None:
    writer = ParquetWriter(store, manifest)
    with store.driving(manifest), writer.driven(2):
        writer.on_trial_start(CONFIGS[Status.INCOMPLETE].trial_key)
        write_trial(store, WAITING, [make_epoch(1, 5.0)])
        writer.on_trial_start(WAITING.trial_key)
        writer.write()
        metrics = writer._metrics
        metrics.write()
        running = read(store)
        writer.on_progress(WAITING.trial_key, Progress(None, Status.FAILED, replayed=False))
        metrics.write()
        failed = read(store)
    assert (running["trials", "running"], running["trials", "incomplete"], running["trials", "waiting"]) == (2, 0, 0)
    assert failed["trials", "running"] == 1


def test_it_is_written_at_intervals(tmp_path: Path) -> None:
    store, manifest, now = LocalStore(tmp_path), make_manifest([WAITING]), 1000.0
    metrics = MetricsWriter(store, manifest, clock=lambda: now)
    with store.driving(manifest):
        metrics.on_tick()
        assert not (store.sweep_folder("sweep") / METRICS).exists()  # nobody drives yet
        times = set()
        with metrics.driven(1):
            while now < 1000.0 + 4 * INTERVAL_SECONDS:
                metrics.on_tick()
                times.add(read(store)["last_update_timestamp_seconds", ""])
                now += 1.0
    assert sorted(times) == [1000.0 + number * INTERVAL_SECONDS for number in range(4)]


def test_a_superseded_training_does_not_count(store: LocalStore) -> None:
    manifest = make_manifest([CONFIGS[Status.COMPLETE]])
    assert store.supersede(manifest) == 1
    writer = ParquetWriter(store, manifest)
    with store.driving(manifest):
        writer.write()
    values = read(store)
    assert (values["trials", "complete"], values["trials", "waiting"], values["epochs_done", ""]) == (0, 1, 0)


def test_others_may_read_it_and_it_is_never_half_written(store: LocalStore, manifest: Manifest) -> None:
    """node_exporter runs as a user of its own."""
    with store.driving(manifest):
        ParquetWriter(store, manifest).write()
    assert stat.S_IMODE((store.sweep_folder("sweep") / METRICS).stat().st_mode) & 0o444 == 0o444
    assert not list(store.sweep_folder("sweep").glob(".*"))


def test_a_sweep_continues_where_it_cannot_be_written(store: LocalStore, manifest: Manifest) -> None:
    writer = ParquetWriter(store, manifest)
    with store.driving(manifest):
        (store.sweep_folder("sweep") / METRICS).mkdir()
        with writer.driven(1):
            writer.on_tick()
        writer.write()
    assert (store.sweep_folder("sweep") / "trials.parquet").exists()


def test_in_a_bucket_it_is_pushed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.new_bucket()
    store, manifest = open_store(f"s3://{bucket}/store"), make_manifest([WAITING])
    metrics = MetricsWriter(store, manifest)
    with metrics.driven(4):
        assert parsed(s3.files(f"{bucket}/store/sweep")[METRICS].decode())["slots", ""] == 4.0

        def refuse(place: Remote, name: str, content: bytes) -> None:
            raise RemoteError("the store", "no answer")

        monkeypatch.setattr(Remote, "write", refuse)
        metrics.write()
