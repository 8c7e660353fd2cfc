"""Stores that `serve` shows: empty ones, several, damaged and deleted sweeps, and sweeps of Parquet files alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.local_store import LocalStore
from sweep.serving.paced import Paced
from sweep.serving.server import PageServer
from sweep.status.results_only import results_status
from tests.conftest import ROOT
from tests.results_tests.result_samples import make_manifest
from tests.results_tests.store_samples import train
from tests.sweep_tests.test_serving import CONFIGS, ask, make_store, served
from trainable.records import Status


@pytest.fixture(autouse=True)
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks again."""
    monkeypatch.setattr(Paced, "_is_due", lambda self: True)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return make_store(tmp_path)


@pytest.fixture
def server(store: LocalStore) -> Iterator[PageServer]:
    with served(store) as server:
        yield server


def test_a_damaged_sweep_does_not_hide_the_others(server: PageServer, store: LocalStore) -> None:
    (store.path / "broken").mkdir()
    (store.path / "broken" / "sweep.json").write_text("{")
    listed = ask(server, "/").text
    assert "sweep.json is damaged" in listed
    assert "1 of 3" in listed
    assert "is damaged" in ask(server, "/1/broken/").text


def test_damage_to_a_sweep_that_was_read_before_is_seen(server: PageServer, store: LocalStore) -> None:
    train(store, CONFIGS[1], 4, Status.COMPLETE)
    train(store, CONFIGS[2], 4, Status.COMPLETE)
    assert 'class="badge done"' in ask(server, "/").text
    manifest = store.sweep_folder("sweep") / "sweep.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content[:200])
    for path in ("/", "/1/sweep/"):
        text = ask(server, path).text
        assert "sweep.json is damaged" in text
        assert 'class="badge done"' not in text
    assert "is damaged" in ask(server, "/1/sweep/data").json["live"]["html"]
    manifest.write_bytes(content)
    assert 'class="badge done"' in ask(server, "/").text


def test_an_open_page_is_told_that_its_sweep_was_deleted(server: PageServer, store: LocalStore) -> None:
    assert ask(server, "/1/sweep/data").status == 200
    store.delete_sweep("sweep")
    assert ask(server, "/1/sweep/").status == 404
    assert ask(server, "/1/sweep/data").status == 410


def test_several_stores_and_an_empty_one(tmp_path: Path, store: LocalStore) -> None:
    with served(LocalStore(tmp_path / "none"), store) as server:
        listed = ask(server, "/").text
        start = f"start with <code>python tune_main.py run quickstart --store {tmp_path / 'none'}</code>"
        assert f"This folder does not exist yet: {start}" in listed
        (tmp_path / "none").mkdir()
        assert f"No sweeps yet: {start}" in ask(server, "/").text
        assert '<a href="/2/sweep/">' in listed
        assert ask(server, "/2/sweep").headers["Location"] == "/2/sweep/"
        assert ask(server, "/1/sweep/").status == 404


def test_sweeps_of_parquet_files_alone_are_shown(
    server: PageServer, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tables(*Collector(store, store.manifest("sweep")).tables(), store, "sweep")
    manifest = store.sweep_folder("sweep") / "sweep.json"
    content = manifest.read_bytes()
    with_trials = ask(server, "/1/sweep/data").json["page"]
    manifest.unlink()
    store.delete_trials(store.trial_names())
    best = "lr=0.1: test error 20.00 % (lowest of 1 trial)"
    for path in ("/", "/1/sweep/"):
        text = ask(server, path).text
        for words in ("results only", "1 of 3", best):
            assert words in text
    assert "<a href" not in text.partition("failed trial")[2].partition("</ul>")[0]  # no log of it is here
    assert ask(server, "/1/sweep/data").json["page"] == with_trials
    assert ask(server, f"/1/sweep/logs/{CONFIGS[2].trial_key}").status == 404
    assert tune_main.main(["list", "--json", "--store", str(store.path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["state"], row["done"], row["planned"], row["best"]) for row in listed] == [
        ("results only", 1, 3, best)
    ]
    trials, epochs = Collector(store, make_manifest(CONFIGS)).tables()
    write_tables(trials, epochs, store, "sweep")
    assert "0 of 3" in ask(server, "/1/sweep/").text
    (store.sweep_folder("sweep") / "trials.parquet").write_bytes(b"PAR1")
    assert "trials.parquet is damaged" in ask(server, "/").text
    manifest.write_bytes(content)
    assert "0 of 3" in ask(server, "/1/sweep/").text


def test_best_of_a_search_of_parquet_files_alone() -> None:
    status = results_status(LocalStore(ROOT / "results" / "examples" / "search_against_grid"), "tpe_asha")
    assert status.best is not None
    assert "holdout error" in status.best
