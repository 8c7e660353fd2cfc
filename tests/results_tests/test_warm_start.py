"""What a search begins with: which rows of a sweep, of a file, and of the published tables count."""

import shutil
from pathlib import Path

import pytest

from results.collect import Collector
from results.parquet import export_tables
from results.published.cells import LONGER_FILE, published_cells
from results.store import TRIALS_PARQUET, Store
from results.warm_start import PUBLISHED_NOTE, earlier_results
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.searched_stores import SWEEP, write_search
from trainable.errors import UserError
from trainable.records import Status
from trainable.search_log import read_log

NAMES = ["base_lr", "batch_size"]
METRICS = ["holdout_error_percent"]
MODELS = {make_config().model}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_search(tmp_path_factory.mktemp("searched"))


def test_of_a_search_only_what_ran_to_the_end_with_held_out_images_counts(store: Store) -> None:
    """Not what was stopped or diverged, nor the confirmations, which hold nothing out."""
    found, notes = earlier_results(store, SWEEP, NAMES, METRICS, MODELS)
    complete = [
        one for one in read_log(store.search_log(SWEEP)).proposals if one.is_trained and one.status is Status.COMPLETE
    ]
    assert 0 < len(complete) < 24
    assert [(dict(one.params), one.values) for one in found] == [(one.params, one.values) for one in complete]
    assert notes == []


def test_a_file_says_the_same_as_the_sweep_that_wrote_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.parquet"
    shutil.copy(store.sweep_folder(SWEEP) / TRIALS_PARQUET, path)
    empty = Store(tmp_path / "empty")
    assert earlier_results(empty, str(path), NAMES, METRICS, MODELS) == earlier_results(
        store, SWEEP, NAMES, METRICS, MODELS
    )


def test_several_metrics_are_given_in_their_order(store: Store) -> None:
    found, _ = earlier_results(store, SWEEP, NAMES, ["train_seconds", *METRICS], MODELS)
    assert all(len(one.values) == 2 for one in found)
    assert {one.values[0] for one in found} <= {9 * (2.0 + 64 / size) for size in (32, 64, 128)}


def test_published_rows_tell_of_base_lr_and_that_they_are_of_the_test_images() -> None:
    found, notes = earlier_results(Store(Path("nowhere")), "published", NAMES, METRICS, {"resnet_preact_20"})
    cells = [*published_cells(), *published_cells(LONGER_FILE)]
    expected = [cell for cell in cells if cell.model == "resnet_preact_20"]
    assert len(found) == len(expected) > 0
    for one, cell in zip(found, expected, strict=True):
        assert one.params["base_lr"] * cell.batch_size == pytest.approx(cell.lr * 128)
        assert one.values == (cell.test_error_percent,)
    assert notes == [PUBLISHED_NOTE]


@pytest.mark.parametrize(
    ("source", "names", "metrics", "models"),
    [
        (SWEEP, [*NAMES, "warmth"], METRICS, MODELS),
        (SWEEP, NAMES, METRICS, {"resnet_20"}),
        (SWEEP, NAMES, ["holdout_loss", "no_metric"], MODELS),
        ("published", NAMES, ["train_seconds"], {"resnet_preact_20"}),
    ],
    ids=["no such parameter", "other models", "one metric of two", "published have no such metric"],
)
def test_a_source_without_a_row_that_can_be_used_is_refused(
    store: Store, source: str, names: list[str], metrics: list[str], models: set[str]
) -> None:
    with pytest.raises(
        UserError, match=r"search.warm_start .*: leave warm_start out, or name other results"
    ) as error:
        earlier_results(store, source, names, metrics, models)
    assert "\n" not in str(error.value)


def test_a_sweep_that_held_nothing_out_cannot_steer(tmp_path: Path) -> None:
    store, config = Store(tmp_path), make_config(epochs=1)
    write_trial(store, config, [make_epoch(1, 10.0)], make_end(Status.COMPLETE, 1))
    export_tables(*Collector(store, make_manifest([config])).tables(), str(store.sweep_folder("sweep")))
    with pytest.raises(UserError, match="has lr, holdout_error_percent"):
        earlier_results(store, "sweep", ["lr"], METRICS, {config.model})


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "trials.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read") as error:
        earlier_results(Store(tmp_path), str(path), NAMES, METRICS, MODELS)
    assert "\n" not in str(error.value)


def test_a_sweep_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(UserError, match="no sweep 'other'"):
        earlier_results(store, "other", NAMES, METRICS, MODELS)
