"""Sweeps in the store: their manifests, and what may stand under a name."""

import json
import shutil
from pathlib import Path

import pytest

from results.store.holdings import holdings
from results.store.store import Manifest, Store, new_manifest
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.records import Status

A, B, C = (make_config(lr=lr) for lr in (0.1, 0.2, 0.3))


def saved(store: Store, manifest: Manifest) -> Manifest:
    with store.driving(manifest):
        return store.manifest(manifest.name)


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    trials = [
        PlannedTrial(make_config(schedule="multistep", milestones=[0.3, 0.6]), 0, {"base_lr": 0.1}),
        PlannedTrial(make_config(seed=1, train_subset=10, batch_size=2), 1, {}),
    ]
    manifest = new_manifest("mine", trials, "name: ä\n", {"lr": 0.1, "milestones": [1, 2]}, "c0de")
    assert saved(Store(tmp_path), manifest) == manifest


def test_keys_are_in_the_order_of_the_plan() -> None:
    assert make_manifest([C, A]).keys == [C.trial_key, A.trial_key]


def test_the_manifest_names_its_schema(tmp_path: Path) -> None:
    saved(Store(tmp_path), make_manifest([A]))
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_bytes())["schema_version"] == 4


def test_the_creation_time_is_in_utc() -> None:
    assert new_manifest("mine", [], "", {}, "").created.endswith("+00:00")


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
def test_a_damaged_manifest_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    saved(Store(tmp_path), make_manifest([A]))
    path = tmp_path / "sweep" / "sweep.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        Store(tmp_path).manifest("sweep")
    assert str(caught.value) == f"{path} is damaged: delete it and run the sweep again (its trials are kept)"


def test_a_field_of_a_later_version_names_the_file(tmp_path: Path) -> None:
    saved(Store(tmp_path), make_manifest([A]))
    path = tmp_path / "sweep" / "sweep.json"
    path.write_text(path.read_text().replace('"lr":', '"later": 1, "lr":'))
    with pytest.raises(UserError, match=r"sweep\.json"):
        Store(tmp_path).manifest("sweep")


def test_an_unknown_sweep_names_the_nearest(tmp_path: Path) -> None:
    saved(Store(tmp_path), make_manifest([A], "batch_size"))
    saved(Store(tmp_path), make_manifest([A], "other"))
    assert Store(tmp_path).sweeps() == ["batch_size", "other"]
    with pytest.raises(UserError, match=r"no sweep 'batchsize' in .*: did you mean 'batch_size'\?"):
        Store(tmp_path).manifest("batchsize")


def test_an_empty_store_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"holds none yet: start with `python tune_main.py run quickstart --store .*missing`"
    ):
        Store(tmp_path / "missing").manifest("sweep")


@pytest.mark.parametrize(
    "name", ["", "..", ".", "../x", "a/b", "/etc", "a\\b", ".x", "-x", "trials", "x" * 101, "a\n"]
)
def test_names_that_cannot_be_a_sweep(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a sweep"):
        Store(tmp_path).sweep_folder(name)


@pytest.mark.parametrize("configs", [[A, B], [B, A], [A, C, B]])
def test_a_sweep_may_grow(tmp_path: Path, configs: list[TrainConfig]) -> None:
    store = Store(tmp_path)
    saved(store, make_manifest([A, B]))
    store.check_extends(make_manifest(configs))


@pytest.mark.parametrize(("configs", "lost"), [([A], 1), ([C], 2), ([], 2)])
def test_a_sweep_cannot_lose_trials(tmp_path: Path, configs: list[TrainConfig], lost: int) -> None:
    store = Store(tmp_path)
    saved(store, make_manifest([A, B]))
    with pytest.raises(UserError, match=f"{lost} of its 2 are not among these.*another --name"):
        store.check_extends(make_manifest(configs))


def test_another_name_is_another_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path)
    saved(store, make_manifest([A, B]))
    store.check_extends(make_manifest([C], "other"))


def test_a_moved_store_is_the_same_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "old")
    manifest = make_manifest([A, B])
    write_trial(store, A, [make_epoch(1, 10.0)], make_end(Status.COMPLETE, 1))
    saved(store, manifest)
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = Store(tmp_path / "new")
    assert moved.manifest("sweep") == manifest
    assert [trial.config for trial in holdings(moved, manifest).left] == [B]
    content = b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert str(tmp_path).encode() not in content


def test_a_store_that_does_not_exist_yet_can_be_written(tmp_path: Path) -> None:
    Store(tmp_path / "a" / "b").check_writable()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("below", [".", "deep/er"])
def test_a_file_is_no_store(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the store .*: give another with --store"):
        Store(tmp_path / "file" / below).check_writable()
