"""What every store does, whether it lies in a folder or in a bucket."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.parquet.collect import Collector
from results.store.holdings import holdings
from results.store.lease import Timing
from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST, Manifest
from results.store.opening import open_store
from results.store.remote_store import RemoteStore
from results.store.search_log import EndEvent, ProposalEvent, ReportEvent, SearchEvent, SearchLog, read_log
from results.store.store import Store
from sweep.search.opening import repair_log
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_manifest
from tests.results_tests.searched_stores import SETTINGS
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import CHECKPOINTS, FINAL_STATE
from trainable.ledger.remote_ledger import open_ledger, read_final_state
from trainable.ledger.trial_log import append, log_name, logs_in
from trainable.records import Status
from trainable.wording import command

A, B, C = (make_config(lr=lr) for lr in (0.1, 0.2, 0.3))
SWEEP = "sweep"
NO_NAMES = ["", "..", ".", "../x", "a/b", "/etc", "a\\b", ".x", "-x", "trials", "x" * 101, "a\n"]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    s3: S3Server = request.getfixturevalue("s3")
    monkeypatch.setattr("results.store.lease.TIMING", Timing(settle=0.02))
    return open_store(f"s3://{s3.new_bucket()}/some/where")


@pytest.fixture
def reopened(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """Open the same store, as another machine does that has no copies of it."""

    def reopen() -> Store:
        monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "another"))
        return open_store(store.location())

    return reopen


def saved(store: Store, manifest: Manifest) -> Manifest:
    with store.driving(manifest):
        return store.manifest(manifest.name)


def test_opening_gives_the_kind_that_the_location_asks_for(store: Store) -> None:
    kind = RemoteStore if "://" in store.location() else LocalStore
    assert type(store) is kind
    assert store.option == f" --store {store.location()}"


# The files of a sweep.


def test_what_is_written_is_read_by_others(store: Store, reopened: Callable[[], Store]) -> None:
    assert store.read(SWEEP, "a.txt") is None
    store.write(SWEEP, "a.txt", b"old")
    assert store.read(SWEEP, "a.txt") == reopened().read(SWEEP, "a.txt") == b"old"
    reader = reopened()
    store.write(SWEEP, "a.txt", b"new")
    store.write(SWEEP, "figures/b.svg", b"svg")
    assert reader.read(SWEEP, "a.txt") == b"new"
    assert reader.read(SWEEP, "figures/b.svg") == b"svg"
    assert store.location(SWEEP, "figures/b.svg") == f"{store.location()}/{SWEEP}/figures/b.svg"
    assert store.location(SWEEP) == f"{store.location()}/{SWEEP}"


def test_sweeps_are_those_that_have_the_file(store: Store) -> None:
    assert store.sweeps() == []
    assert store.read_all("a.txt") == {}
    store.write("one", "a.txt", b"1")
    store.write("two", "a.txt", b"2")
    store.write("two", MANIFEST, b"{}")
    train(store, A, 1)
    assert store.sweeps() == ["two"]
    assert store.sweeps("a.txt") == ["one", "two"]
    assert store.read_all("a.txt") == {"one": b"1", "two": b"2"}


def test_a_tool_writes_into_a_scratch_folder(store: Store, reopened: Callable[[], Store]) -> None:
    with store.writing(SWEEP) as folder:
        (folder / "figures").mkdir()
        (folder / "figures" / "a.svg").write_bytes(b"svg")
        (folder / "page.html").write_bytes(b"html")
        assert store.read(SWEEP, "page.html") is None
    assert not folder.exists()
    assert reopened().read(SWEEP, "figures/a.svg") == b"svg"
    assert reopened().read(SWEEP, "page.html") == b"html"
    with pytest.raises(RuntimeError, match="broke"), store.writing(SWEEP) as folder:
        (folder / "page.html").write_bytes(b"half")
        raise RuntimeError("broke")
    assert store.read(SWEEP, "page.html") == b"html"


def test_a_journal_grows_by_lines(store: Store, reopened: Callable[[], Store]) -> None:
    journal = store.journal(SWEEP, "log.jsonl")
    assert journal.read() == b""
    journal.append(b"1\n")
    assert reopened().journal(SWEEP, "log.jsonl").read() == b"1\n"
    journal.append(b"2\n", durable=False)
    journal.append(b"3\n")
    assert reopened().journal(SWEEP, "log.jsonl").read() == b"1\n2\n3\n"
    journal.append(b"4\n", durable=False)
    journal.flush()
    assert reopened().journal(SWEEP, "log.jsonl").read() == b"1\n2\n3\n4\n"
    other = store.journal(SWEEP, "log.jsonl")
    other.truncate(4)
    other.truncate(100)
    other.append(b"5\n")
    assert reopened().read(SWEEP, "log.jsonl") == b"1\n2\n5\n"
    assert journal.location == store.location(SWEEP, "log.jsonl")


def test_a_search_log_is_in_the_store_at_each_decision(store: Store, reopened: Callable[[], Store]) -> None:
    log = SearchLog(store.search_log(SWEEP))
    log.append([SearchEvent(SETTINGS)])
    log.append([ProposalEvent(0, {"base_lr": 0.1}, A, {})])
    assert len(read_log(reopened().search_log(SWEEP)).proposals) == 1
    log.append([ReportEvent(0, 1, (9.0,), stop=False)])
    log.flush()
    assert len(read_log(reopened().search_log(SWEEP)).proposals[0].reports) == 1
    log.append([ReportEvent(0, 2, (8.0,), stop=False)])
    log.append([EndEvent(0, Status.COMPLETE, (8.0,))])
    proposal = read_log(reopened().search_log(SWEEP)).proposals[0]
    assert (len(proposal.reports), proposal.status) == (2, Status.COMPLETE)
    content = store.search_log(SWEEP).read()
    store.write(SWEEP, "search.jsonl", content + b'{"event":"pro')
    assert len(SearchLog(store.search_log(SWEEP)).events) == 5
    assert store.search_log(SWEEP).read() == content


def test_a_damaged_search_log_is_cut_and_kept(store: Store, reopened: Callable[[], Store]) -> None:
    SearchLog(store.search_log(SWEEP)).append([SearchEvent(SETTINGS), ProposalEvent(0, {"base_lr": 0.1}, A, {})])
    content = store.search_log(SWEEP).read()
    damaged = content + b"damaged\n" + content.splitlines(keepends=True)[1]
    store.write(SWEEP, "search.jsonl", damaged)
    [note] = repair_log(store, SWEEP)
    assert note.startswith(f"{store.location(SWEEP, 'search.jsonl')}:3 is damaged (")
    assert reopened().read(SWEEP, "search.jsonl") == content
    assert reopened().read(SWEEP, "search.jsonl.damaged-1") == damaged


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_cannot_be_a_sweep(store: Store, name: str) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: store.read(name, "file"),
        lambda: store.write(name, "file", b""),
        lambda: store.journal(name, "file"),
        lambda: store.location(name),
        lambda: store.is_running(name),
        lambda: store.find_manifest(name),
        lambda: saved(store, make_manifest([A], name)),
    ]
    for use in uses:
        with pytest.raises(UserError, match="cannot name a sweep"):
            use()


def test_whether_it_can_be_written_leaves_no_trace(store: Store) -> None:
    store.check_writable()
    assert (store.sweeps("probe"), store.trial_names(), store.all_trials()) == ([], [], [])
    with store.hurried():
        assert store.read(SWEEP, "a.txt") is None


# Manifests.


def test_a_manifest_comes_back_as_it_was(store: Store, reopened: Callable[[], Store]) -> None:
    trials = [
        PlannedTrial(make_config(schedule="multistep", milestones=[0.3, 0.6]), 0, {"base_lr": 0.1}),
        PlannedTrial(make_config(seed=1, train_subset=10, batch_size=2), 1, {}),
    ]
    manifest = Manifest("mine", trials, "name: ä\n", {"lr": 0.1, "milestones": [1, 2]}, "c0de")
    assert store.find_manifest("mine") is None
    assert saved(store, manifest) == manifest
    assert reopened().manifest("mine") == manifest
    assert json.loads(store.read("mine", MANIFEST) or b"")["schema_version"] == 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b'"text"',
        b"3",
        b'{"trials": [1]}',
        b'{"trials": [{}]}',
        b'{"trials": 1}',
    ],
)
def test_a_damaged_manifest_says_what_to_do(store: Store, content: bytes) -> None:
    store.write(SWEEP, MANIFEST, content)
    with pytest.raises(UserError) as caught:
        store.manifest(SWEEP)
    path = store.location(SWEEP, MANIFEST)
    assert str(caught.value).startswith(f"{path} is damaged")
    assert str(caught.value).endswith(": delete it and run the sweep again (its trials are kept)")


def test_a_field_of_a_later_version_names_the_file(store: Store) -> None:
    saved(store, make_manifest([A]))
    content = store.read(SWEEP, MANIFEST) or b""
    store.write(SWEEP, MANIFEST, content.replace(b'"lr":', b'"later": 1, "lr":'))
    with pytest.raises(UserError, match=r"sweep\.json"):
        store.manifest(SWEEP)


def test_an_unknown_sweep_names_the_nearest(store: Store) -> None:
    saved(store, make_manifest([A], "batch_size"))
    saved(store, make_manifest([A], "other"))
    assert store.sweeps() == ["batch_size", "other"]
    with pytest.raises(UserError, match=r"no sweep 'batchsize' in .*: did you mean 'batch_size'\?"):
        store.manifest("batchsize")


def test_an_empty_store_says_how_to_begin(store: Store) -> None:
    with pytest.raises(UserError) as caught:
        store.manifest(SWEEP)
    assert f"holds none yet: start with `{command('run', 'quickstart')}{store.option}`" in str(caught.value)


@pytest.mark.parametrize("configs", [[A, B], [B, A], [A, C, B]])
def test_a_sweep_may_grow(store: Store, configs: list[TrainConfig]) -> None:
    saved(store, make_manifest([A, B]))
    assert saved(store, make_manifest(configs)).keys == [config.trial_key for config in configs]


@pytest.mark.parametrize(("configs", "lost"), [([A], 1), ([C], 2), ([], 2)])
def test_a_sweep_cannot_lose_trials(store: Store, configs: list[TrainConfig], lost: int) -> None:
    saved(store, make_manifest([A, B]))
    with pytest.raises(UserError, match=f"{lost} of its 2 trials (is|are) not among these.*another --name"):
        saved(store, make_manifest(configs))
    assert store.manifest(SWEEP) == make_manifest([A, B])
    saved(store, make_manifest([C], "other"))


def test_a_search_and_a_grid_do_not_share_a_name(store: Store) -> None:
    saved(store, make_manifest([A]))
    with pytest.raises(UserError, match="is rows or a grid: give this run another --name"):
        store.check_extends(dataclasses.replace(make_manifest([A]), is_search=True))


# One driver.


def test_a_second_driver_is_refused(store: Store, reopened: Callable[[], Store]) -> None:
    manifest = make_manifest([A])
    assert not store.is_running(SWEEP)
    with store.driving(manifest, "mine") as run_id:
        assert run_id == "mine"
        found = reopened().driver(SWEEP), reopened().driver("other")
        assert [driver and driver.run_id for driver in found] == ["mine", None]
        refused = "another process is running the sweep 'sweep': wait for it"
        with pytest.raises(UserError, match=refused):
            reopened().check_no_driver(SWEEP)
        with pytest.raises(UserError, match=refused), reopened().driving(manifest):
            pytest.fail("two drivers at a time")
        with store.driving(make_manifest([A], "other")):
            assert store.is_running("other")
    assert not store.is_running(SWEEP)


def test_a_driver_that_fails_leaves_the_sweep_free(store: Store) -> None:
    with pytest.raises(RuntimeError, match="broke"), store.driving(make_manifest([A])):
        raise RuntimeError("broke")
    assert not store.is_running(SWEEP)
    assert saved(store, make_manifest([A])).keys == [A.trial_key]


# Trials.


def test_trials_are_read_as_far_as_they_have_come(store: Store, reopened: Callable[[], Store]) -> None:
    train(store, A, 2)
    train(store, B, 3, Status.COMPLETE)
    keys = [config.trial_key for config in (A, B, C)]
    reader = reopened()
    assert [(key, files.epochs_done) for key, files in reader.read_trials(keys)] == list(
        zip(keys, (2, 3, 0), strict=True)
    )
    train(store, A, 4)
    assert [summary.epochs_done for summary in reader.summaries(keys).values()] == [4, 3, 0]
    assert sorted(path.name for path in reader.all_trials()) == sorted(keys[:2]) == reader.trial_names()
    assert {path.name for path in reader.latest_trials(5)} == {*keys[:2]}
    assert len(reader.latest_trials(1)) == 1
    assert reader.summaries([]) == {}


def test_what_a_sweep_lacks_is_left(store: Store) -> None:
    train(store, A, 2)
    train(store, B, 3, Status.COMPLETE)
    held = holdings(store, make_manifest([A, B, C]))
    assert [trial.config for trial in held.left] == [A, C]
    assert [trial.config for trial in held.begun] == [A]
    assert held.done == 1


def test_superseded_trainings_come_before_the_one_that_counts(store: Store, reopened: Callable[[], Store]) -> None:
    train(store, A, 1, Status.COMPLETE)
    train(store, B, 1)
    assert store.supersede(make_manifest([A, B, C])) == 1
    assert store.supersede(make_manifest([A, B, C])) == 0
    train(store, A, 2, Status.COMPLETE)
    reader = reopened()
    trainings = reader.trainings([A.trial_key, C.trial_key])
    assert [list(trainings[config.trial_key]) for config in (A, C)] == [[1, 2], [1]]
    assert len(reader.trial_names()) == 3
    assert len(reader.all_trials()) == 2
    trials, epochs = Collector(reader, make_manifest([A])).tables()
    assert trials["generation"].to_pylist() == [1, 2]
    assert trials["superseded"].to_pylist() == [True, False]
    assert epochs["generation"].to_pylist() == [1, 2, 2]


def test_trials_that_are_being_trained_are_not_superseded(store: Store) -> None:
    manifest = make_manifest([A, B])
    train(store, A, 1, Status.COMPLETE)
    with store.driving(manifest) as run_id, open_ledger(store.ledgers / B.trial_key, B.to_dict()) as ledger:
        ledger.begin(make_attempt(run_id=run_id))
        with pytest.raises(UserError, match=rf"1 of these trials \({B.trial_key}, \.\.\.\) .* trained now"):
            store.supersede(manifest)
        assert store.at_work(SWEEP, store.summaries(manifest.keys)) == {B.trial_key}
    store.check_free(manifest.keys)
    assert store.supersede(manifest) == 1


def test_logs_come_with_a_trial_when_they_are_asked_for(store: Store, reopened: Callable[[], Store]) -> None:
    with open_ledger(store.ledgers / A.trial_key, A.to_dict()) as ledger:
        ledger.begin(make_attempt())
        append(ledger.folder / log_name(1), "words\n")
        ledger.finish(make_end(Status.FAILED, 0, error="broke"))
    assert logs_in(reopened().trial_with_logs(A.trial_key))[1].read_text() == "words\n"


def test_final_states_are_dropped(store: Store) -> None:
    for config in (A, B):
        with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
            ledger.save_final_state(b"state")
    assert store.holding(FINAL_STATE, [A.trial_key, "never-trained"]) == {A.trial_key}
    store.drop_files(FINAL_STATE, [A.trial_key, "never-trained"])
    kept = [read_final_state(store.ledgers / config.trial_key, config.trial_key, 0) for config in (A, B)]
    assert kept == [None, b"state"]


def test_a_driver_deletes_checkpoints_that_killed_processes_left(store: Store) -> None:
    for config, status in ((A, Status.COMPLETE), (B, Status.FAILED), (C, None)):
        with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
            ledger.begin(make_attempt())
            if status is not None:
                ledger.finish(make_end(status, 0))
            ledger.save_checkpoint(b"state")
    with store.driving(make_manifest([A, B, C])):
        pass
    kept = {path.split("/")[1] for path in store.files() if path.endswith(CHECKPOINTS)}
    assert kept == {B.trial_key, C.trial_key}


# What is deleted.


def test_trials_and_sweeps_are_deleted(store: Store, reopened: Callable[[], Store]) -> None:
    for config in (A, B):
        train(store, config, 1, Status.COMPLETE)
    assert store.supersede(make_manifest([A])) == 1
    train(store, A, 1)
    saved(store, make_manifest([A, B]))
    store.write(SWEEP, "figures/a.svg", b"svg")
    saved(store, make_manifest([A], "other"))
    sizes = {path: size for path, (size, _) in store.files().items()}
    assert sizes[f"{SWEEP}/figures/a.svg"] == 3
    assert f"trials/{A.trial_key}.superseded-1/result.json" in sizes
    with store.driving(store.manifest(SWEEP)):
        store.delete_trials([A.trial_key])
        assert reopened().trial_names() == [B.trial_key]
        store.delete_sweep(SWEEP)
    assert reopened().sweeps() == ["other"]
    assert not [path for path in store.files() if path.startswith((f"{SWEEP}/", f"trials/{A.trial_key}"))]
