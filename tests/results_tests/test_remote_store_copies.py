"""A store behind a URI: its copy here is what lies there, fetched anew only where that has changed."""

import dataclasses
import threading
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.store.holdings import holdings
from results.store.lease import Timing
from results.store.remote_store import FEW_TRIALS, RemoteStore
from results.store.store import Store, open_store
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_epoch, make_manifest
from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import EPOCHS
from trainable.ledger.remote import Remote, Stamp, in_parallel
from trainable.ledger.remote_ledger import open_ledger, read_final_state
from trainable.records import Status


@pytest.fixture(autouse=True)
def quick_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.lease.TIMING", Timing(settle=0.1))


@pytest.fixture
def store(s3: S3Server) -> Store:
    return open_store(f"s3://{s3.new_bucket()}/some/where")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is read from the store."""
    names: list[str] = []
    read = Remote.read

    def noted(place: Remote, name: str) -> bytes | None:
        names.append(name)
        return read(place, name)

    monkeypatch.setattr(Remote, "read", noted)
    return names


def train(store: Store, config: TrainConfig, num_epochs: int, status: Status | None = None) -> None:
    """What a worker leaves."""
    with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
        ledger.rewind()
        ledger.begin(make_attempt())
        for epoch in range(len(ledger.epochs) + 1, num_epochs + 1):
            ledger.append(make_epoch(epoch, 50.0 / epoch))
        ledger.save_checkpoint(b"state")
        if status is not None:
            ledger.finish(make_end(status, num_epochs))


def test_a_folder_is_a_store_as_ever(tmp_path: Path) -> None:
    assert type(open_store(str(tmp_path))) is Store


def test_its_name_is_its_uri(store: Store, s3: S3Server) -> None:
    uri = store.shown()
    assert store.option == f" --store {uri}"
    assert store.shown(store.sweep_folder("a") / "figures" / "x.svg") == f"{uri}/a/figures/x.svg"
    with_option = f"{uri}?region=us-east-1&scheme=http"
    assert open_store(with_option).option == f" --store '{with_option}'"
    assert open_store(with_option).shown() == uri


def test_a_manifest_comes_back_on_another_machine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_manifest([make_config(lr=lr) for lr in (0.1, 0.2)])
    assert store.find_manifest("sweep") is None
    with store.driving(manifest):
        assert store.is_running("sweep")
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "another"))
    other = open_store(store.shown())
    assert other.manifest("sweep") == manifest
    assert other.sweeps() == ["sweep"]
    with pytest.raises(UserError, match=r"no sweep 'swep' in s3://.*: did you mean 'sweep'\?"):
        other.manifest("swep")


def test_a_reader_of_this_machine_does_not_spoil_what_is_about_to_be_published(store: Store) -> None:
    with store.driving(make_manifest([make_config()])):
        reader, path = open_store(store.shown()), store.sweep_folder("sweep") / "trials.parquet"
        path.write_bytes(b"old")
        store.publish(path)
        path.write_bytes(b"new")
        copy = reader.sweep_folder("sweep") / path.name
        reader.refresh(copy)
        store.publish(path)
    assert copy.read_bytes() == b"old"
    reader.refresh(copy)
    assert copy.read_bytes() == b"new"
    del reader
    assert not copy.exists()


def test_a_second_driver_is_refused_as_it_is_locally(store: Store) -> None:
    manifest = make_manifest([make_config()])
    with (
        store.driving(manifest),
        pytest.raises(UserError, match="another process is running the sweep 'sweep': wait for it"),
        store.driving(manifest),
    ):
        pytest.fail("two drivers at a time")
    assert not store.is_running("sweep")


@pytest.mark.parametrize("num_others", [0, FEW_TRIALS])
def test_only_what_has_changed_is_fetched(store: Store, reads: list[str], num_others: int) -> None:
    """Whether the trials are listed one by one or all together."""
    begun, done = make_config(lr=0.1), make_config(lr=0.2)
    others = [make_config(seed=seed) for seed in range(1, num_others + 1)]
    keys = [config.trial_key for config in (begun, done, *others)]
    train(store, begun, 2)
    train(store, done, 3, Status.COMPLETE)
    manifest = make_manifest([begun, done, *others])
    assert [trial.config for trial in holdings(store, manifest).left] == [begun, *others]
    assert len(reads) >= 4
    reads.clear()
    store.refresh_trials(keys)
    assert reads == []
    train(store, begun, 5)
    reads.clear()
    store.refresh_trials(keys)
    assert f"trials/{begun.trial_key}/{EPOCHS}" in reads
    assert not [name for name in reads if done.trial_key in name]
    trials, epochs = Collector(store, manifest).tables()
    assert trials["epochs_done"].to_pylist() == [5, 3]
    assert len(epochs) == 8


def test_what_is_gone_there_is_gone_here(store: Store, s3: S3Server) -> None:
    config, failed = make_config(lr=0.1), make_config(lr=0.2)
    train(store, config, 2, Status.COMPLETE)
    train(store, failed, 1, Status.FAILED)
    manifest = make_manifest([config, failed])
    assert [trial.config for trial in holdings(store, manifest).left] == [failed]
    folder = f"{store.shown().removeprefix('s3://')}/trials"
    s3.filesystem().delete_dir(f"{folder}/{config.trial_key}")
    s3.filesystem().delete_file(f"{folder}/{failed.trial_key}/result.json")
    trials, _ = Collector(store, manifest).tables()
    assert trials["status"].to_pylist() == ["INCOMPLETE"]


def test_ended_trials_are_not_asked_for_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config()
    train(store, config, 2, Status.COMPLETE)
    collector = Collector(store, make_manifest([config]))
    before = collector.tables()
    monkeypatch.setattr(Remote, "stamps", lambda place, folder: pytest.fail("the store was asked"))
    assert collector.tables() == before


def test_status_tells_whose_trials_are_at_work(store: Store) -> None:
    from sweep.status.status import sweep_status

    configs = [make_config(lr=lr) for lr in (0.1, 0.2, 0.3)]
    manifest = make_manifest(configs)
    train(store, configs[0], 1)  # of an earlier run
    with store.driving(manifest) as run_id:
        with open_ledger(store.ledgers / configs[1].trial_key, configs[1].to_dict()) as ledger:
            ledger.begin(make_attempt(run_id=run_id))
        status = sweep_status(store, manifest)
        assert (status.driver_running, status.running) == (True, 1)
    status = sweep_status(store, manifest)
    assert (status.driver_running, status.running) == (False, 0)


def test_states_that_nobody_goes_on_from_are_deleted_there(store: Store) -> None:
    configs = [make_config(lr=lr) for lr in (0.1, 0.2)]
    for config in configs:
        with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
            ledger.save_final_state(b"state")
    store.drop_final_states([configs[0].trial_key, "never-trained"])
    kept = [read_final_state(store.ledgers / config.trial_key, 0) for config in configs]
    assert kept == [None, b"state"]


def test_many_trials_are_one_listing_and_fetches_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [make_config(seed=seed).trial_key for seed in range(1, 61)]
    place = Remote(store.shown())
    in_parallel(lambda key: place.write(f"trials/{key}/config.json", b"{}"), keys)
    listings: list[str] = []
    threads: set[int] = set()
    stamps, read = Remote.stamps, Remote.read

    def noted_stamps(place: Remote, folder: str) -> dict[str, Stamp]:
        listings.append(folder)
        return stamps(place, folder)

    def noted_read(place: Remote, name: str) -> bytes | None:
        threads.add(threading.get_ident())
        return read(place, name)

    monkeypatch.setattr(Remote, "stamps", noted_stamps)
    monkeypatch.setattr(Remote, "read", noted_read)
    store.refresh_trials(keys)
    assert len(list(store.trials_folder.glob("*/config.json"))) == 60
    assert listings == ["trials"]
    assert len(threads) > 4


def test_a_bucket_that_may_not_be_used_is_told_before_anything_is_made(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))
    uri = f"s3://{s3.new_bucket()}/x"
    with s3.knowing_nobody(), pytest.raises(UserError, match="access denied"):
        open_store(uri)
    store = open_store(uri)
    with s3.knowing_nobody(), pytest.raises(UserError, match="access denied"):
        store.check_writable()
    assert s3.files(uri.removeprefix("s3://")) == {}
    assert not (tmp_path / "cache").exists()
    store.check_writable()
    assert s3.files(uri.removeprefix("s3://")) == {}


def test_plan_counts_what_lies_there(store: Store) -> None:
    from sweep.plan.counts import plan_counts

    config = make_config(epochs=3)
    train(store, config, 3, Status.COMPLETE)
    counts = plan_counts(store, [dataclasses.replace(config, dataset_fingerprint="")], None)
    assert (counts.done, counts.store) == (1, store.shown())
    assert isinstance(store, RemoteStore)
