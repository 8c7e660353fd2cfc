"""`run --again` on a remote store, where nothing can be renamed: killed at any moment, a training counts once."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.store.holdings import holdings
from results.store.lease import Timing
from results.store.opening import open_store
from results.store.store import Store
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_epoch, make_manifest
from tests.s3_server import S3Server
from trainable.errors import UserError
from trainable.ledger.files import LOCK
from trainable.ledger.locks import exclusive_lock
from trainable.ledger.remote import Remote
from trainable.ledger.remote_ledger import RemoteFolder, open_ledger
from trainable.records import Status

CONFIG = make_config(epochs=2)
MANIFEST = make_manifest([CONFIG])
OLD, NEW = 30.0, 20.0
"""Test errors of the two trainings."""
Training = tuple[int, bool, str, list[float]]


class KilledError(BaseException):
    """A stand-in for SIGKILL: nothing catches it."""


@pytest.fixture
def new_store(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Store]:
    """The store at this URI, as a machine sees it that knows nothing."""
    machines = (tmp_path / f"machine-{number}" for number in itertools.count())

    def new(uri: str) -> Store:
        monkeypatch.setenv("BATCHSCAPE_CACHE", str(next(machines)))
        return open_store(uri)

    return new


def train(store: Store, test_error: float, run_id: str) -> None:
    """Do what a worker does with a trial that is to be trained: resume from what the store holds."""
    with open_ledger(store.ledgers / CONFIG.trial_key, CONFIG.to_dict()) as ledger:
        assert ledger.end is None
        ledger.rewind()
        ledger.begin(make_attempt(len(ledger.attempts) + 1, run_id=run_id))
        for epoch in (1, 2):
            ledger.append(make_epoch(epoch, test_error / epoch))
        (ledger.folder / "tensorboard").mkdir()
        (ledger.folder / "tensorboard" / f"events-{run_id}").write_bytes(b"curve")
        ledger.finish(make_end(Status.COMPLETE, 2, run_id=run_id))


def trainings(store: Store) -> list[Training]:
    """(generation, superseded, status, test errors) as the Parquet files would have them."""
    trials, epochs = Collector(store, MANIFEST).tables()
    found = []
    for row in trials.to_pylist():
        errors = [
            epoch["test_error_percent"] for epoch in epochs.to_pylist() if epoch["generation"] == row["generation"]
        ]
        found.append((row["generation"], row["superseded"], row["status"], errors))
        assert row["attempts"] == 1
    return found


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What is called before each change in the store."""
    hooks: list[Callable[[], None]] = []

    def watched(method: str) -> None:
        change = getattr(Remote, method)

        def step(place: Remote, *arguments: object) -> None:
            for hook in hooks:
                hook()
            change(place, *arguments)

        monkeypatch.setattr(Remote, method, step)

    for method in ("write", "copy", "delete"):
        watched(method)
    monkeypatch.setattr("trainable.ledger.remote.MAX_REQUESTS", 1)  # one after the other, so that they can be counted
    return hooks


def killed_after(number: int) -> Callable[[], None]:
    """A hook that lets `number` changes pass and then kills the process."""
    life = iter(range(number))

    def step() -> None:
        if next(life, None) is None:
            raise KilledError

    return step


BEFORE: list[Training] = [(1, False, "COMPLETE", [OLD, OLD / 2])]
ASIDE: list[Training] = [(1, True, "COMPLETE", [OLD, OLD / 2])]
AFTER: list[Training] = [*ASIDE, (2, False, "COMPLETE", [NEW, NEW / 2])]


@pytest.mark.parametrize("again", [True, False])
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(
    again: bool, new_store: Callable[[str], Store], tmp_path: Path, steps: list[Callable[[], None]]
) -> None:
    """Whether `run --again` is typed again after it, or `run`. (Through file://, since that is quicker.)"""
    seen = []
    for number in itertools.count():
        folder = tmp_path / f"store-{number}"
        folder.mkdir()
        uri = folder.as_uri()
        train(new_store(uri), OLD, "old")
        store = new_store(uri)
        steps.append(killed_after(number))
        try:
            store.supersede(MANIFEST)
        except KilledError:
            was_killed = True
        else:
            was_killed = False
        steps.clear()
        store = new_store(uri)
        standing = trainings(store)
        assert standing in (BEFORE, ASIDE)
        seen.append(standing)
        assert len(holdings(store, MANIFEST).left) == (standing == ASIDE)
        if again:
            assert store.supersede(MANIFEST) == (standing == BEFORE)
            assert trainings(store) == ASIDE
        if again or standing == ASIDE:
            assert holdings(store, MANIFEST).begun == []
            train(store, NEW, "new")
            assert trainings(new_store(uri)) == AFTER
            assert_whole(Remote(uri))
        if not was_killed:
            break
    assert seen == sorted(seen, key=[BEFORE, ASIDE].index)  # one moment from which on it is aside
    assert len(seen) > 10


def assert_whole(place: Remote) -> None:
    """Assert that both trainings have all of their files, and neither holds files of the other."""
    names = {"config.json", "attempts.jsonl", "epochs.jsonl", "result.json"}
    old, new = f"trials/{CONFIG.trial_key}.superseded-1", f"trials/{CONFIG.trial_key}"
    expected = {f"{old}/{name}" for name in names | {"tensorboard/events-old"}}
    assert place.stamps("").keys() == expected | {f"{new}/{name}" for name in names | {"tensorboard/events-new"}}


def test_whoever_looks_meanwhile_sees_it_once(
    new_store: Callable[[str], Store], s3: S3Server, steps: list[Callable[[], None]]
) -> None:
    """The watchers are a machine that knows nothing and one that has looked before."""
    uri = f"s3://{s3.new_bucket()}/store"
    train(new_store(uri), OLD, "old")
    watcher = new_store(uri)
    assert trainings(watcher) == BEFORE
    seen = []

    def look() -> None:
        hooks = [*steps]
        steps.clear()
        both = trainings(new_store(uri)), trainings(watcher)
        assert both in ((BEFORE, BEFORE), (ASIDE, ASIDE))
        seen.append(both[0])
        steps.extend(hooks)

    driver = new_store(uri)
    steps.append(look)
    assert driver.supersede(MANIFEST) == 1
    steps.clear()
    train(driver, NEW, "new")
    assert trainings(watcher) == AFTER
    assert_whole(Remote(uri))
    assert {str(state) for state in seen} == {str(BEFORE), str(ASIDE)}


def test_generations_are_counted_on(new_store: Callable[[str], Store], s3: S3Server) -> None:
    uri = f"s3://{s3.new_bucket()}/some where"
    for number in range(1, 4):
        store = new_store(uri)
        train(store, 10.0 * number, f"run-{number}")
        assert store.supersede(MANIFEST) == 1
    assert [training[:2] for training in trainings(new_store(uri))] == [(1, True), (2, True), (3, True)]
    assert new_store(uri).supersede(MANIFEST) == 0


def test_a_trial_without_a_good_configuration_is_put_aside_with_one(
    new_store: Callable[[str], Store], s3: S3Server
) -> None:
    uri = f"s3://{s3.new_bucket()}/store"
    store = new_store(uri)
    train(store, OLD, "old")
    Remote(uri).write(f"trials/{CONFIG.trial_key}/config.json", b"{")
    assert store.supersede(MANIFEST) == 1
    assert trainings(store) == ASIDE


def test_nothing_is_put_aside_while_a_living_run_or_a_process_of_this_machine_trains_it(
    new_store: Callable[[str], Store], s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"s3://{s3.new_bucket()}/store"
    monkeypatch.setattr("results.store.lease.TIMING", Timing(settle=0.1))
    store = new_store(uri)
    other = make_manifest([CONFIG], "other")
    train(store, OLD, "old")
    folder = store.ledgers / CONFIG.trial_key
    assert isinstance(folder, RemoteFolder)
    with exclusive_lock(folder.local / LOCK), pytest.raises(UserError, match="are being trained now"):
        store.supersede(MANIFEST)
    store.supersede(MANIFEST)
    with store.driving(other) as run_id:
        with open_ledger(folder, CONFIG.to_dict()) as ledger:
            ledger.begin(make_attempt(run_id=run_id))
        with pytest.raises(UserError, match="are being trained now"):
            store.check_free(MANIFEST.keys)
    store.check_free(MANIFEST.keys)
