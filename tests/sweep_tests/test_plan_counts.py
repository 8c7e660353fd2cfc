"""`plan`: what a run would train, without loading the data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from sweep.estimate.work import TrialWork, train_images_per_epoch
from sweep.plan.counts import PlanCounts, TrialProgress, plan_counts
from tests.conftest import ROOT
from tests.results_tests.result_samples import make_config, make_end, make_epoch, write_trial
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.data.sizes import NUM_IMAGES
from trainable.provenance import processor_name
from trainable.records import Status

SIZE = (1000, 100)
FULL = TrainConfig(dataset="cifar10", epochs=10, batch_size=300)
STORED = make_config(epochs=10, batch_size=300)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def hold(store: LocalStore, config: TrainConfig, num_epochs: int, status: Status | None) -> None:
    end = None if status is None else make_end(status, num_epochs)
    write_trial(store, config, [make_epoch(number, 50.0) for number in range(1, num_epochs + 1)], end)


def test_without_a_store_everything_is_left(store: LocalStore) -> None:
    counts = plan_counts(store, [FULL, TrainConfig(dataset="cifar10", epochs=5, batch_size=1000)], SIZE)
    nothing = (TrialProgress(), TrialProgress())
    assert counts == PlanCounts(2, 0, 0, 15, images_left=10 * 900 + 5 * 1000, store=None, progress=nothing)
    assert not store.path.exists()


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.STOPPED, Status.DIVERGED])
def test_what_has_ended_is_done_whatever_its_fingerprint(store: LocalStore, status: Status) -> None:
    hold(store, STORED, 4, status)
    counts = plan_counts(store, [FULL], SIZE)
    assert (counts.done, counts.begun, counts.left, counts.epochs_left, counts.images_left) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("status", [Status.FAILED, None])
def test_what_was_begun_has_its_last_epochs_left(store: LocalStore, status: Status | None) -> None:
    hold(store, STORED, 4, status)
    counts = plan_counts(store, [FULL], SIZE)
    assert (counts.done, counts.begun, counts.left, counts.epochs_left, counts.images_left) == (0, 1, 1, 6, 5400)


@pytest.mark.parametrize("change", [{"lr": 0.2}, {"dataset": "other"}, {"seed": 1}, {"epochs": 11}])
def test_another_configuration_is_another_trial(store: LocalStore, change: dict[str, object]) -> None:
    hold(store, make_config(**{"epochs": 10, "batch_size": 300, **change}), 4, Status.COMPLETE)
    assert plan_counts(store, [FULL], SIZE).done == 0


def test_of_two_contents_the_furthest_counts(store: LocalStore) -> None:
    for fingerprint, num_epochs in (("a" * 16, 7), ("b" * 16, 2)):
        hold(store, make_config(epochs=10, batch_size=300, dataset_fingerprint=fingerprint), num_epochs, None)
    assert plan_counts(store, [FULL], SIZE).epochs_left == 3
    hold(store, make_config(epochs=10, batch_size=300, dataset_fingerprint="c" * 16), 1, Status.DIVERGED)
    assert plan_counts(store, [FULL], SIZE).done == 1


def test_tied_to_a_content_only_that_content_counts(store: LocalStore) -> None:
    hold(store, STORED, 4, Status.COMPLETE)
    assert plan_counts(store, [STORED], SIZE).done == 1
    assert plan_counts(store, [make_config(epochs=10, batch_size=300, dataset_fingerprint="f" * 16)], SIZE).done == 0


def test_the_work_that_is_left(store: LocalStore) -> None:
    hold(store, STORED, 4, None)
    other = TrainConfig(dataset="cifar10", epochs=5, batch_size=100, holdout=0.1, test_subset=40, precision="fp32")
    assert plan_counts(store, [FULL, other], SIZE).works == (
        TrialWork("resnet_preact_20", 300, "auto", epochs=6, train_images_per_epoch=900, eval_images_per_epoch=100),
        TrialWork("resnet_preact_20", 100, "fp32", epochs=5, train_images_per_epoch=900, eval_images_per_epoch=140),
    )


def test_a_subset_of_all_is_no_subset(store: LocalStore) -> None:
    hold(store, STORED, 4, Status.COMPLETE)
    whole = TrainConfig(dataset="cifar10", epochs=10, batch_size=300, train_subset=1000)
    assert plan_counts(store, [whole], SIZE).done == 1


def test_damaged_folders_count_for_nothing(store: LocalStore) -> None:
    hold(store, STORED, 4, Status.COMPLETE)
    (store.trial_folder(STORED.trial_key) / "config.json").write_text("{torn")
    (store.trials_folder / "empty").mkdir()
    other = store.trials_folder / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({**STORED.to_dict(), "field_of_tomorrow": 1}))
    assert plan_counts(store, [FULL, TrainConfig()], SIZE).done == 0


@pytest.mark.parametrize(
    ("changes", "images"),
    [({}, 896), ({"train_subset": 500}, 384), ({"holdout": 0.1}, 896), ({"holdout": 0.2}, 768)],
)
def test_train_images_per_epoch(changes: dict[str, object], images: int) -> None:
    assert train_images_per_epoch(make_config(**changes), 1000) == images


def test_the_sizes_of_the_embedded_digits_are_true() -> None:
    data = load_digits()
    assert NUM_IMAGES["digits"] == (len(data.train_labels), len(data.test_labels))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        defaults: {epochs: 4}
        grid: {batch_size: [128, 256]}
        scales: {smoke: {derive: {epochs: epochs / 2, batch_size: batch_size / 2}}}
    """
    path = str(load_text(tmp_path, text).source.path)
    store = LocalStore(tmp_path / "store")
    options = [path, "--store", str(store.path)]
    assert tune_main.main(["plan", *options]) == 0
    assert capsys.readouterr().out == (
        "space: 2 trials on digits\n"
        "  done   0 (the store does not exist yet)\n"
        f"  left   2 trials, 8 epochs, {4 * 1408 + 4 * 1280:,} images\n"
        f"  time   unknown: nothing was measured on {processor_name()}, 1 thread; --probe measures a few steps here\n"
    )
    done = TrainConfig(epochs=2, batch_size=64, dataset_fingerprint="0" * 16)
    hold(store, done, 2, Status.COMPLETE)
    assert tune_main.main(["plan", *options, "--scale", "smoke"]) == 0
    assert capsys.readouterr().out.startswith(
        "space-smoke: 2 trials on digits\n"
        f"  done   1 in {store.path} (matched on everything but the content of the data set, which is not loaded)\n"
        f"  left   1 trial, 2 epochs, {2 * 1408:,} images\n"
        "  time   "
    )
    assert tune_main.main(["plan", *options, "--scale", "smoke", "--set", "epochs=1"]) == 0
    assert "done   0 in" in (output := capsys.readouterr().out)
    assert "left   2 trials, 2 epochs" in output


def test_a_batch_larger_than_the_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(load_text(tmp_path, "rows: [{batch_size: 5000}]").source.path)
    assert tune_main.main(["plan", path, "--store", str(tmp_path / "store")]) == 2
    assert "larger than the 1442 training images" in capsys.readouterr().err


def test_it_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    code = (
        "import sys, tune_main\n"
        "assert tune_main.main(['plan', 'initial_lr', '--scale', 'smoke']) == 0\n"
        "print({'torch', 'ray', 'torchvision', 'sklearn', 'pandas'} & {*sys.modules})\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert process.stdout.splitlines()[-1] == "set()"
