"""`list`, `best` and `delete`, on stores that are made without training."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import read_epochs, read_trials, write_tables
from results.store.local_store import LocalStore
from results.store.search_log import ConfirmEvent, ProposalEvent, SearchEvent, SearchLog
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.sweep_tests import driven_searches
from trainable.config import TrainConfig
from trainable.records import Status

ERRORS = {0.1: (20.0, 22.0), 0.2: (10.0, 13.0), 0.4: (30.0, 11.0)}


def trial_config(lr: float, seed: int) -> TrainConfig:
    return make_config(epochs=1, lr=lr, seed=seed)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Two sweeps: `wide` with three learning rates and two seeds each, and `narrow` with one of these rates."""
    store = LocalStore(tmp_path / "store")
    for lr, errors in ERRORS.items():
        for seed, error in enumerate(errors):
            write_trial(store, trial_config(lr, seed), [make_epoch(1, error)], make_end(Status.COMPLETE, 1))
    for name, rates in (("wide", ERRORS), ("narrow", (0.2,))):
        manifest = make_manifest([trial_config(lr, seed) for lr in rates for seed in (0, 1)], name)
        with store.driving(manifest):
            write_tables(*Collector(store, manifest).tables(), store, name)
    return store


def run(store: LocalStore, *arguments: str) -> int:
    return tune_main.main([*arguments, "--store", str(store.path)])


def test_list_shows_every_sweep(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "list") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["sweep", "trials", "state", "size", "changed", "best"]
    assert {tuple(line.split()[:3]) for line in lines} == {("wide", "6/6", "done"), ("narrow", "2/2", "done")}


def test_list_for_programs(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "list", "--json") == 0
    found = {summary["sweep"]: summary for summary in json.loads(capsys.readouterr().out)}
    assert (found["wide"]["planned"], found["wide"]["done"], found["wide"]["failed"]) == (6, 6, 0)
    in_trials = [path for path in store.trials_folder.rglob("*") if path.is_file()]
    in_wide = [path for path in store.sweep_folder("wide").rglob("*") if path.is_file()]
    assert found["wide"]["size_bytes"] == sum(path.stat().st_size for path in [*in_trials, *in_wide])
    assert 0 < found["narrow"]["size_bytes"] < found["wide"]["size_bytes"]


def test_a_damaged_sweep_does_not_hide_the_others(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    (store.sweep_folder("wide") / "sweep.json").write_text("{")
    assert run(store, "list", "--json") == 0
    states = {summary["sweep"]: summary["state"] for summary in json.loads(capsys.readouterr().out)}
    assert states == {"wide": "damaged", "narrow": "done"}


def test_an_empty_store_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LocalStore(tmp_path / "none"), "list") == 0
    none = tmp_path / "none"
    start = f"start with `python tune_main.py run quickstart --store {none}`\n"
    assert capsys.readouterr().out == f"{none} does not exist yet: {start}"
    assert not none.exists()
    none.mkdir()
    assert run(LocalStore(none), "list") == 0
    assert capsys.readouterr().out == f"no sweeps in {none}: {start}"


def test_best_has_the_lowest_mean(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "best", "wide") == 0
    text = capsys.readouterr().out
    assert text.startswith("wide: lr=0.2\n  test error  11.50 +- 2.12 % (n = 2)\n")
    assert "3 finished configurations" in text


def test_the_space_of_the_best_trains_the_same_trials(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "best", "wide", "--yaml") == 0
    path = tmp_path / "best.yaml"
    path.write_text(capsys.readouterr().out)
    assert yaml.safe_load(path.read_text())["name"] == "wide-best"
    trials = expand(load_space(str(path)), {}).trials
    fingerprint = trial_config(0.2, 0).dataset_fingerprint
    keys = {dataclasses.replace(trial.config, dataset_fingerprint=fingerprint).trial_key for trial in trials}
    assert keys == {trial_config(0.2, seed).trial_key for seed in (0, 1)}


def test_delete_asks_and_keeps_what_others_use(
    store: LocalStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["n", "y"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert run(store, "delete", "wide") == 1
    assert "nothing was deleted" in capsys.readouterr().out
    assert store.sweeps() == ["narrow", "wide"]
    assert run(store, "delete", "wide") == 0
    text = capsys.readouterr().out
    assert "4 trials that no other sweep uses" in text
    assert "kept: 2 trials that other sweeps use: narrow (2)" in text
    assert store.sweeps() == ["narrow"]
    assert set(store.trial_names()) == {trial_config(0.2, seed).trial_key for seed in (0, 1)}
    assert not store.sweep_folder("wide").exists()


def test_delete_frees_everything_with_the_last_sweep(store: LocalStore) -> None:
    assert run(store, "delete", "wide", "--yes") == 0
    assert run(store, "delete", "narrow", "--yes") == 0
    assert store.sweeps() == store.trial_names() == []


def test_delete_of_what_is_not_there_names_the_nearest(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(["delete", "wid", "--store", str(store.path)], capsys)
    assert "did you mean 'wide'" in message


def test_delete_refuses_while_a_driver_works(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    with store.driving(store.manifest("wide")):
        assert run(store, "delete", "wide", "--yes") == 2
    assert len(store.trial_names()) == 6


@pytest.mark.parametrize(
    "command",
    [
        ["list", "--store"],
        ["run", "quickstart", "--store"],
        ["serve", "--port", "0", "--store", "runs", "--store"],
        ["export", "wide", "--to"],
    ],
)
def test_a_uri_that_lacks_a_slash_is_refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert " s3:/b/c lacks a slash: type s3://b/c" in refused([*command, "s3:/b/c"], capsys)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("wide/sweep.json", "is a file: give the folder"),
        ("wide", "is a sweep of the store --store {store}: give that"),
    ],
)
@pytest.mark.parametrize("command", [["list"], ["run", "quickstart"], ["status", "wide"]])
def test_a_location_inside_a_store_is_no_store(
    store: LocalStore, capsys: pytest.CaptureFixture[str], command: list[str], location: str, words: str
) -> None:
    assert words.format(store=store.path) in refused([*command, "--store", str(store.path / location)], capsys)


def test_retry_puts_one_result_aside_for_the_next_run(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    key, other = (trial_config(0.2, seed).trial_key for seed in (0, 1))
    assert run(store, "retry", key[:9]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{key}  model=")
    assert "its results are kept as superseded; the next `run` of narrow and wide trains it again" in told
    assert {f"{key}.superseded-1", other} < set(store.trial_names())
    assert run(store, "status", "narrow", "--json") == 0
    assert json.loads(capsys.readouterr().out)["left"] == 1
    for name in ("narrow", "wide"):
        for table in (read_trials(store, name), read_epochs(store, name)):
            assert {row["trial_key"] for row in table.to_pylist() if row["superseded"]} == {key}
    message = refused(["retry", key, "--store", str(store.path)], capsys)
    assert f"the results of {key} are put aside already: the next `run` trains it" in message
    write_trial(store, trial_config(0.2, 0), [make_epoch(1, 5.0)], make_end(Status.COMPLETE, 1))
    assert run(store, "retry", key, "--sweep", "wide") == 0
    assert f"{key}.superseded-2" in store.trial_names()


def test_retry_of_a_trial_without_a_sweep(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    write_trial(store, trial_config(0.8, 0), [make_epoch(1, 5.0)], make_end(Status.COMPLETE, 1))
    assert run(store, "retry", trial_config(0.8, 0).trial_key) == 0
    assert "the next `train` of the same configuration trains it again" in capsys.readouterr().out


def test_retry_refuses_what_run_resumes_anyway(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    for lr, end in ((0.8, None), (0.9, make_end(Status.FAILED, 0))):
        config = trial_config(lr, 0)
        write_trial(store, config, [], end)
        message = refused(["retry", config.trial_key, "--store", str(store.path)], capsys)
        assert "the next `run` of its sweep resumes it anyway" in message


def test_retry_refuses_while_a_driver_works(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    key = trial_config(0.2, 0).trial_key
    with store.driving(store.manifest("narrow")):
        message = refused(["retry", key, "--sweep", "wide", "--store", str(store.path)], capsys)
    assert "a process is running the sweep 'narrow'" in message
    assert key in store.trial_names()


def test_retry_refuses_what_a_search_has_learned_from(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    proposed, confirmed = trial_config(0.2, 0), trial_config(0.4, 1)
    store.write_manifest(make_manifest([], "found", is_search=True))
    log = SearchLog(store.search_log("found"))
    settings = driven_searches.settings().canonical()
    log.append([SearchEvent(settings), ProposalEvent(0, {}, proposed, {}), ConfirmEvent(0, 0, confirmed, {})])
    message = refused(["retry", proposed.trial_key, "--store", str(store.path)], capsys)
    assert "is a proposal of the search 'found', whose later proposals rest on its result" in message
    assert run(store, "retry", confirmed.trial_key) == 0
    assert "the next `run` of found and wide" in capsys.readouterr().out
