"""What a store in a folder does beside the contract, and manifests that are in no store."""

import shutil
from pathlib import Path

import pytest

from results.store.holdings import holdings
from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST, Manifest
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.errors import UserError
from trainable.ledger.files import LOCK
from trainable.records import Status

A, B, C = (make_config(lr=lr) for lr in (0.1, 0.2, 0.3))


def saved(store: LocalStore, manifest: Manifest) -> Manifest:
    with store.driving(manifest):
        return store.manifest(manifest.name)


def test_keys_are_in_the_order_of_the_plan() -> None:
    assert make_manifest([C, A]).keys == [C.trial_key, A.trial_key]


def test_the_creation_time_is_in_utc() -> None:
    assert Manifest("mine", [], "", {}, "").created.endswith("+00:00")


def test_a_moved_store_is_the_same_store(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "old")
    manifest = make_manifest([A, B])
    write_trial(store, A, [make_epoch(1, 10.0)], make_end(Status.COMPLETE, 1))
    saved(store, manifest)
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = LocalStore(tmp_path / "new")
    assert moved.manifest("sweep") == manifest
    assert [trial.config for trial in holdings(moved, manifest).left] == [B]
    content = b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert str(tmp_path).encode() not in content


def test_what_a_killed_driver_left_half_written_is_removed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    saved(store, make_manifest([A]))
    before = sorted((tmp_path / "sweep").iterdir())
    (tmp_path / "sweep" / ".trials.parquet.0123456789abcdef").write_bytes(b"half")
    saved(store, make_manifest([A]))
    assert sorted((tmp_path / "sweep").iterdir()) == before


def test_a_sweep_whose_deletion_was_interrupted_still_has_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)
    saved(store, make_manifest([A]))
    for name in ("trials.parquet", "figures/a.svg"):
        store.write("sweep", name, b"")
    unlink = Path.unlink

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if path.name == MANIFEST:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.delete_sweep("sweep")
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {MANIFEST, LOCK}
    (tmp_path / "sweep" / MANIFEST).unlink()  # interrupted once more
    store.delete_sweep("sweep")
    assert not (tmp_path / "sweep").exists()


def test_deleted_trials_do_not_come_back_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, A, [make_epoch(1, 10.0)])
    left: dict[Path, list[str]] = {}
    monkeypatch.setattr(
        "results.store.local_store.sync_folder", lambda folder: left.update({folder: store.trial_names()})
    )
    store.delete_trials([A.trial_key])
    assert left == {store.trials_folder: []}


def test_a_store_that_does_not_exist_yet_can_be_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a" / "b")
    store.check_writable()
    assert not (tmp_path / "a").exists()
    store.write("sweep", "file", b"content")
    assert store.read("sweep", "file") == b"content"


@pytest.mark.parametrize("below", [".", "deep/er"])
def test_a_file_is_no_store(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the store .*: give another with --store"):
        LocalStore(tmp_path / "file" / below).check_writable()
