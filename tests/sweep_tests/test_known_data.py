"""A sweep keeps the name by which it knows its images."""

from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from results.store.search_log import SearchEvent, SearchLog
from sweep.known_data import as_known, check_folder_given
from sweep.preparation import prepare
from sweep.request import RunRequest
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_manifest
from tests.sweep_tests.driven_searches import settings
from tests.trainable_tests.encoded_images import ENCODED_SOURCES, rows
from trainable.data.contract import ImageData
from trainable.errors import UserError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def known(store: LocalStore, dataset: str, fingerprint: str) -> None:
    config = make_config(dataset=dataset, dataset_fingerprint=fingerprint)
    store.write_manifest(make_manifest([config]))


def test_a_sweep_keeps_the_name_of_its_images(
    store: LocalStore, tiny_data: ImageData, capsys: pytest.CaptureFixture[str]
) -> None:
    known(store, "data", tiny_data.fingerprint)
    assert as_known(store, "sweep", tiny_data).name == "data"
    assert capsys.readouterr().out == "note: sweep knows the images of tiny as data, and keeps that name\n"
    assert as_known(store, "other", tiny_data).name == "tiny"


@pytest.mark.parametrize(("dataset", "own"), [("data", False), ("cifar10", True), ("digits", True)])
def test_other_images_and_built_in_names_are_not_kept(
    store: LocalStore, tiny_data: ImageData, dataset: str, *, own: bool
) -> None:
    known(store, dataset, tiny_data.fingerprint if own else "f" * 16)
    assert as_known(store, "sweep", tiny_data).name == "tiny"


def test_a_search_keeps_the_name_in_its_log(store: LocalStore, tiny_data: ImageData) -> None:
    store.write_manifest(make_manifest([], is_search=True))
    assert as_known(store, "sweep", tiny_data).name == "tiny"
    trial = {"dataset": "data", "dataset_fingerprint": tiny_data.fingerprint}
    SearchLog(store.search_log("sweep")).append([SearchEvent(settings(trial=trial).canonical())])
    assert as_known(store, "sweep", tiny_data).name == "data"


@pytest.mark.parametrize("is_search", [False, True])
def test_a_sweep_on_images_in_a_folder_says_where_they_were(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_search: bool
) -> None:
    trials = [] if is_search else [make_config(dataset="mine", dataset_fingerprint="f" * 16)]
    store.write_manifest(make_manifest(trials, "quickstart", is_search=is_search, data="/my images", label="kind"))
    trial = {"dataset": "mine", "dataset_fingerprint": "f" * 16}
    if is_search:
        SearchLog(store.search_log("quickstart")).append([SearchEvent(settings(trial=trial).canonical())])
    for command in ("run", "plan"):
        message = refused([command, "quickstart", "--store", str(store.path)], capsys)
        gone = "is on the images of 'mine', which are no longer in /my images: give --data and their folder"
        assert f"{gone} --label kind, or" in message


def test_a_folder_of_built_in_images_is_named_while_it_is_there(store: LocalStore, tmp_path: Path) -> None:
    config = make_config(dataset="cifar10", dataset_fingerprint="f" * 16)
    store.write_manifest(make_manifest([config], data=str(tmp_path)))
    check_folder_given(store, "sweep", "cifar10", tmp_path)
    with pytest.raises(UserError, match=f"'cifar10' in {tmp_path}: give --data {tmp_path}"):
        check_folder_given(store, "sweep", "cifar10", None)
    store.write_manifest(make_manifest([config], data=str(tmp_path / "gone")))
    check_folder_given(store, "sweep", "cifar10", None)
    store.write_manifest(make_manifest([config]))
    check_folder_given(store, "sweep", "digits", None)  # told otherwise: no folder holds cifar10


def test_a_run_remembers_the_folder(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = next(iter(ENCODED_SOURCES.values()))
    source.write(tmp_path / "mine", rows([0, 1] * 8), rows([0, 1]))
    (tmp_path / "space.yaml").write_text("rows: [{batch_size: 8, lr: 0.1}]\n")
    monkeypatch.chdir(tmp_path)
    space, location = str(tmp_path / "space.yaml"), str(store.path)
    store.write_manifest(prepare(RunRequest(space=space, store=location, data=Path("mine"))).manifest)
    message = refused(["run", space, "--store", location], capsys)
    assert f"is on the images of 'mine' in {tmp_path}/mine: give --data {tmp_path}/mine" in message


@pytest.mark.parametrize("is_search", [False, True])
def test_other_images_or_labels_are_refused_by_what_is_different(
    store: LocalStore, tmp_path: Path, tiny_data: ImageData, *, is_search: bool
) -> None:
    """Before, one line said that lr=0.1 had become lr=0.1, or showed two fingerprints."""
    old, new = tmp_path / "tiny", tmp_path / "new"
    old.mkdir()
    new.mkdir()

    def refusal(folder: Path | None, label_now: str | None = None, **given: str) -> str:
        trial = {"dataset": given.pop("dataset", "tiny"), "dataset_fingerprint": "f" * 16}
        manifest = make_manifest([] if is_search else [make_config(**trial)], is_search=is_search, **given)
        store.write_manifest(manifest)
        if is_search and not store.search_log("sweep").read():
            SearchLog(store.search_log("sweep")).append([SearchEvent(settings(trial=trial).canonical())])
        with pytest.raises(UserError) as caught:
            as_known(store, "sweep", tiny_data, folder, label_now)
        return str(caught.value).removesuffix(", or give this run another --name")

    assert refusal(old, data=str(old)) == (
        f"the images or labels in {old} are no longer those of the sweep 'sweep' (fingerprint {'f' * 16}, now "
        f"{tiny_data.fingerprint}): restore them"
    )
    others = f"{tiny_data.fingerprint}): give --data"
    assert refusal(new, data=str(old)).endswith(f"{others} {old}")
    assert refusal(old, data=str(old), label="kind") == "the sweep 'sweep' used --label kind: add it"
    assert refusal(old, "kind", data=str(old)) == "the sweep 'sweep' used no --label: leave it out"
    assert refusal(None).startswith("the images or labels in tiny are no longer those of the sweep")
    if not is_search:  # whose name is in its log
        assert refusal(new, dataset="mine", data=str(tmp_path / "gone")).endswith(f"{others} and their folder")
        assert refusal(new, dataset="digits").endswith("): leave --data out")
