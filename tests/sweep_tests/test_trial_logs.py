"""`logs`: a trial is found by the beginning of its key, and what its processes wrote is shown."""

from pathlib import Path

import pytest

import tune_main
from results.store.lease import Timing
from results.store.local_store import LocalStore
from results.store.opening import open_store
from results.store.store import Store
from sweep.status.logs import find_trial, trial_text
from sweep.status.status import sweep_status
from tests.refusals import refused
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_manifest, write_trial
from tests.s3_server import SECRET, S3Server
from tests.sweep_tests.test_bytes_read import bytes_read
from trainable.errors import UserError
from trainable.ledger.ledger import Ledger
from trainable.ledger.remote_ledger import open_ledger
from trainable.ledger.trial_log import MAX_BYTES, append, log_name
from trainable.records import Status

FAILED, DONE, WAITING = (make_config(seed=seed) for seed in range(3))
ERROR = "RuntimeError: it broke"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A sweep with a trial that failed twice, one that is done and one that is not begun."""
    store = LocalStore(tmp_path / "store")
    folder = store.trial_folder(FAILED.trial_key)
    with Ledger(folder, FAILED.to_dict()) as ledger:
        for number in (1, 2):
            ledger.begin(make_attempt(number, sweep="sweep"))
            append(folder / log_name(number), f"words of {number}\n")
        ledger.finish(make_end(Status.FAILED, 0, error=ERROR))
    write_trial(store, DONE, [], make_end(Status.COMPLETE, 0))
    with store.driving(make_manifest([FAILED, DONE, WAITING])):
        return store


def said(capsys: pytest.CaptureFixture[str], store: Store, *arguments: str) -> str:
    assert tune_main.main(["logs", *arguments, "--store", store.location()]) == 0
    return capsys.readouterr().out


def test_every_attempt_is_shown_with_where_it_ran(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, store, FAILED.trial_key).splitlines()
    assert lines == [
        f"{FAILED.trial_key}  model=resnet_preact_20 dataset=cifar10 epochs=200 batch_size=128 lr=0.1 seed=0  "
        f"FAILED: {ERROR}",
        "--- attempt 1 of 2, 2026-01-02T03:04:05+00:00 on host-1, sweep sweep",
        "words of 1",
        "--- attempt 2 of 2, 2026-01-02T03:04:05+00:00 on host-2, sweep sweep",
        "words of 2",
    ]


def test_a_beginning_is_enough_and_so_is_the_sweep(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    expected = said(capsys, store, FAILED.trial_key)
    assert said(capsys, store, FAILED.trial_key[:6]) == expected
    assert said(capsys, store, "--failed", "--sweep", "sweep") == expected
    assert "nothing that its processes wrote is kept" in said(capsys, store, DONE.trial_key)
    with store.driving(make_manifest([DONE], "other")):
        assert said(capsys, store, "--failed", "--sweep", "other") == "no trial of other has failed\n"


def test_what_cannot_be_meant_is_one_line(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--store", str(store.path)]
    mistyped = FAILED.trial_key[:-1] + "x"
    assert f"did you mean '{FAILED.trial_key}'" in refused(["logs", mistyped, *place], capsys)
    assert "`status SWEEP` names those" in refused(["logs", "zz", *place], capsys)
    assert "give either a trial's key" in refused(["logs", *place], capsys)
    assert "give either a trial's key" in refused(["logs", "ab", "--failed", *place], capsys)
    assert "add --sweep SWEEP" in refused(["logs", "--failed", *place], capsys)
    assert "did you mean 'sweep'?" in refused(["logs", "--failed", "--sweep", "swep", *place], capsys)
    assert "did you mean 'sweep'?" in refused(["logs", "ab", "--sweep", "swep", *place], capsys)
    assert "no trial of" in refused(["logs", "ab", "--store", str(store.path / "none")], capsys)


def test_a_beginning_of_several_names_them(tmp_path: Path) -> None:
    for name in ("ab1", "ab2", "abc", "abd", "abe", "abf", "b", "b.superseded-1"):
        (tmp_path / "trials" / name).mkdir(parents=True)
    store = LocalStore(tmp_path)
    with pytest.raises(
        UserError, match=r"'ab' is the beginning of several trials .*: ab1, ab2, abc, abd, abe and 1 more"
    ):
        find_trial(store, "ab")
    assert find_trial(store, "abc") == "abc"
    assert find_trial(store, "b") == "b"
    assert find_trial(store, "b.s") == "b.superseded-1"


def test_only_the_sweeps_trials_are_looked_at(store: LocalStore) -> None:
    with store.driving(make_manifest([DONE], "other")):
        assert find_trial(store, DONE.trial_key[:4], "other") == DONE.trial_key
        with pytest.raises(UserError, match="in the sweep 'other'"):
            find_trial(store, FAILED.trial_key, "other")


def test_a_superseded_training_keeps_its_logs(store: LocalStore) -> None:
    append(store.trial_folder(DONE.trial_key) / log_name(1), "words of the first training\n")
    assert store.supersede(make_manifest([DONE])) == 1
    name = f"{DONE.trial_key}.superseded-1"
    assert find_trial(store, DONE.trial_key) == name  # as long as there is no other
    assert trial_text(store, name).endswith("words of the first training")


def test_no_log_commands_the_terminal_leads_elsewhere_or_tells_a_key(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    folder = store.trial_folder(FAILED.trial_key)
    (folder / log_name(1)).unlink()
    (tmp_path / "outside").write_text("not of this trial")
    (folder / log_name(1)).symlink_to(tmp_path / "outside")
    (folder / log_name(2)).write_bytes(b"\x1b]0;title\x07 10%\r20%\r\n\xff\t" + SECRET.encode())
    text = trial_text(store, FAILED.trial_key)
    assert text.splitlines()[2:] == ["\\x1b]0;title\\x07 10%", "20%", "�\t***"]
    assert "not of this trial" not in text


def test_counting_reads_no_logs(store: LocalStore) -> None:
    manifest = store.manifest("sweep")

    def cost() -> int:
        return bytes_read(sweep_status, store, manifest)

    before = cost()
    append(store.trial_folder(FAILED.trial_key) / log_name(2), "x" * MAX_BYTES)
    assert abs(cost() - before) < 100


def test_in_a_bucket_they_are_fetched_when_they_are_asked_for(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.store.lease.TIMING", Timing(settle=0.1))
    store = open_store(f"s3://{s3.new_bucket()}/store")
    with (
        store.driving(make_manifest([FAILED])),
        open_ledger(store.ledgers / FAILED.trial_key, FAILED.to_dict()) as ledger,
    ):
        ledger.begin(make_attempt(1))
        append(ledger.folder / log_name(1), "words of 1\n")
        ledger.finish(make_end(Status.FAILED, 0, error=ERROR))
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "another machine"))
    assert sweep_status(open_store(store.location()), store.manifest("sweep")).failed == 1
    assert not list((tmp_path / "another machine").rglob("log-*"))
    assert said(capsys, store, FAILED.trial_key[:5]).endswith("words of 1\n")
    assert said(capsys, store, "--failed", "--sweep", "sweep").endswith("words of 1\n")
