"""A store behind a URI: the local copy equals the remote files and is fetched again only where they changed."""

import dataclasses
import threading
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.store.holdings import holdings
from results.store.lease import Timing
from results.store.opening import open_store
from results.store.remote_store import FEW_TRIALS, RemoteStore
from results.store.store import Store
from tests.results_tests.result_samples import make_attempt, make_config, make_manifest
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.errors import UserError
from trainable.ledger.files import EPOCHS
from trainable.ledger.remote import Remote, Stamp, in_parallel
from trainable.ledger.remote_ledger import open_ledger
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


def test_its_name_is_its_uri(store: Store, s3: S3Server) -> None:
    uri = store.location()
    assert store.option == f" --store {uri}"
    assert store.location("a", "figures/x.svg") == f"{uri}/a/figures/x.svg"
    with_option = f"{uri}?region=us-east-1&scheme=http"
    assert open_store(with_option).option == f" --store '{with_option}'"
    assert open_store(with_option).location() == uri


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
    store.summaries(keys)
    assert reads == []
    train(store, begun, 5)
    reads.clear()
    store.summaries(keys)
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
    folder = f"{store.location().removeprefix('s3://')}/trials"
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


def test_many_trials_are_one_listing_and_fetches_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [make_config(seed=seed).trial_key for seed in range(1, 61)]
    place = Remote(store.location())
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
    store.summaries(keys)
    assert len(list(store.trials_folder.glob("*/config.json"))) == 60
    assert listings == ["trials"]
    assert len(threads) > 4


def test_a_bucket_without_permission_is_refused_before_anything_is_written(
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
    counts = plan_counts(store, [dataclasses.replace(config, dataset_fingerprint="")], (1442, 355))
    assert (counts.done, counts.store) == (1, store.location())
    assert isinstance(store, RemoteStore)


def test_a_journal_writes_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path.as_uri())
    journal = store.journal("sweep", "log.jsonl")
    journal.append(b"1\n")
    monkeypatch.setattr(Remote, "write", lambda *_: pytest.fail("nothing is new"))
    journal.flush()
    journal.truncate(2)
    store.journal("sweep", "log.jsonl").flush()
