"""A store that holds symbolic links, as one that comes from elsewhere may: nothing outside of it is written."""

import os
import shutil
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.driver.store_marker import seen_by_all_nodes
from tests.results_tests.result_samples import make_config, make_epoch, make_manifest, write_trial
from trainable.errors import UserError
from trainable.ledger.files import FINAL_STATE

CONFIG = make_config()
MANIFEST = make_manifest([CONFIG])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store that holds the sweep `sweep` with one trial."""
    store = LocalStore(tmp_path / "store")
    write_trial(store, CONFIG, [make_epoch(1, 10.0)])
    with store.driving(MANIFEST):
        store.journal("sweep", "runs.jsonl").append(b"{}\n")
        store.write("sweep", "figures/a.svg", b"<svg/>")
    return LocalStore(store.path)


def moved_outside(path: Path, tmp_path: Path) -> Path:
    """Move a file or folder of the store out of it, and put a link in its place."""
    outside = tmp_path / "outside" / path.name
    outside.parent.mkdir()
    if path.exists():
        shutil.move(path, outside)
    else:
        outside.write_bytes(b"mine\n")
    path.symlink_to(outside)
    return outside


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name", ["sweep", "trials", "store.json", *(f"sweep/{name}" for name in ("lock", "runs.jsonl", "search.jsonl"))]
)
def test_no_driver_writes_through_a_link(store: LocalStore, tmp_path: Path, name: str) -> None:
    moved_outside(store.path / name, tmp_path)
    before = content(tmp_path)
    refusal = rf"^cannot write to {store.path}/sweep: {Path(name).name} is a symbolic link$"
    if name != "store.json":
        with pytest.raises(UserError, match=refusal):
            store.check_writable("sweep")
    with pytest.raises(UserError, match=refusal), store.driving(MANIFEST):
        pytest.fail("driven")
    assert content(tmp_path) == before


def test_a_pipe_is_not_waited_for(store: LocalStore) -> None:
    os.mkfifo(store.path / "sweep" / "search.jsonl")
    with pytest.raises(UserError, match=r"search\.jsonl is neither a file nor a folder"), store.driving(MANIFEST):
        pytest.fail("driven")


@pytest.mark.parametrize("name", ["sweep", "sweep/figures"])
def test_nothing_is_written_into_a_linked_folder(store: LocalStore, tmp_path: Path, name: str) -> None:
    moved_outside(store.path / name, tmp_path)
    before = content(tmp_path)
    with pytest.raises(UserError, match=f"{Path(name).name} is a symbolic link"), store.writing("sweep") as scratch:
        (scratch / "figures").mkdir()
        (scratch / "figures" / "a.svg").write_bytes(b"other")
    assert content(tmp_path) == before


def test_a_linked_journal_is_neither_appended_to_nor_cut(store: LocalStore, tmp_path: Path) -> None:
    outside = moved_outside(store.path / "sweep" / "runs.jsonl", tmp_path)
    journal = store.journal("sweep", "runs.jsonl")
    with pytest.raises(OSError, match="symbolic link"):
        journal.append(b"{}\n")
    with pytest.raises(OSError, match="symbolic link"):
        journal.truncate(1)
    assert outside.read_bytes() == b"{}\n"


def test_of_linked_folders_only_the_links_are_deleted(store: LocalStore, tmp_path: Path) -> None:
    trial = moved_outside(store.trial_folder(CONFIG.trial_key), tmp_path)
    (trial / FINAL_STATE).touch()
    before = content(tmp_path / "outside")
    store.drop_files(FINAL_STATE, [CONFIG.trial_key])
    store.delete_trials([CONFIG.trial_key])
    assert content(tmp_path / "outside") == before
    assert store.trial_names() == []


def test_links_in_a_sweep_are_deleted_and_their_targets_stay(store: LocalStore, tmp_path: Path) -> None:
    outside = moved_outside(store.path / "sweep" / "figures", tmp_path)
    store.delete_sweep("sweep")
    assert [path.name for path in outside.iterdir()] == ["a.svg"]
    assert not (store.path / "sweep").exists()


def test_the_marker_for_other_nodes_replaces_a_link(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = moved_outside(store.trials_folder / ".driver-sweep", tmp_path)
    monkeypatch.setattr("sweep.driver.store_marker._check_other_nodes", lambda marker, run_id: None)
    with seen_by_all_nodes(store.ledgers, "sweep", "my run") as marker:
        assert marker.read_text() == "my run"
    assert outside.read_bytes() == b"mine\n"
