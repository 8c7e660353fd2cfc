"""Stores that `serve` shows: empty ones, several, damaged and deleted sweeps, and sweeps of Parquet files alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.serving.paced import Paced
from sweep.serving.server import PageServer
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
