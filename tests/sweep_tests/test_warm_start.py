"""What a search begins with: which rows of a sweep, of a file, and of the published tables count."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet.collect import Collector
from results.parquet.files import export_tables
from results.parquet.schema import SEARCH_METADATA
from results.statistics.matching import published_configurations
from results.store.local_store import LocalStore
from results.store.search_log import read_log
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from sweep.search.warm_start import PUBLISHED_NOTE, earlier_results
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.searched_stores import BRED, EPOCHS, SWEEP, error_after, write_population, write_search
from trainable.errors import UserError
from trainable.records import Status

NAMES = ["base_lr", "batch_size"]
METRICS = ["holdout_error_percent"]
CONFIGS = [make_config()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return write_search(tmp_path_factory.mktemp("searched"))


def test_of_a_search_only_what_ran_to_the_end_with_held_out_images_counts(store: LocalStore) -> None:
    """Stopped and diverged trials do not count, nor do confirmations, which hold no images out."""
    found, notes = earlier_results(store, SWEEP, NAMES, METRICS, CONFIGS)
    complete = [
        proposal
        for proposal in read_log(store.search_log(SWEEP)).proposals
        if proposal.is_trained and proposal.status is Status.COMPLETE
    ]
    assert 0 < len(complete) < 24
    assert [(dict(earlier.params), earlier.values) for earlier in found] == [
        (proposal.params, proposal.values) for proposal in complete
    ]
    assert notes == []


def test_a_file_says_the_same_as_the_sweep_that_wrote_it(store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.parquet"
    shutil.copy(store.sweep_folder(SWEEP) / TRIALS_PARQUET, path)
    empty = LocalStore(tmp_path / "empty")
    assert earlier_results(empty, str(path), NAMES, METRICS, CONFIGS) == earlier_results(
        store, SWEEP, NAMES, METRICS, CONFIGS
    )


def test_several_metrics_are_given_in_their_order(store: LocalStore) -> None:
    found, _ = earlier_results(store, SWEEP, NAMES, ["train_seconds", *METRICS], CONFIGS)
    assert all(len(earlier.values) == 2 for earlier in found)
    assert {earlier.values[0] for earlier in found} <= {9 * (2.0 + 64 / size) for size in (32, 64, 128)}


def test_the_objective_of_a_search_is_in_its_rows(store: LocalStore, tmp_path: Path) -> None:
    """A file of trials that lies alone is enough."""
    table = pq.read_table(store.sweep_folder(SWEEP) / TRIALS_PARQUET)
    metadata = table.schema.metadata
    settings = json.loads(metadata[SEARCH_METADATA.encode()])
    settings["objective"] = [{"metric": "holdout_loss", "goal": "minimize"}]
    path = tmp_path / TRIALS_PARQUET
    pq.write_table(table.replace_schema_metadata({**metadata, SEARCH_METADATA.encode(): json.dumps(settings)}), path)
    found, _ = earlier_results(store, str(path), NAMES, ["holdout_loss"], CONFIGS)
    assert found == earlier_results(store, SWEEP, NAMES, METRICS, CONFIGS)[0]


@pytest.mark.parametrize("is_file", [False, True])
def test_what_is_no_column_of_the_trials_is_that_of_the_last_epoch(
    store: LocalStore, tmp_path: Path, *, is_file: bool
) -> None:
    for name in (TRIALS_PARQUET, EPOCHS_PARQUET):
        shutil.copy(store.sweep_folder(SWEEP) / name, tmp_path / name)
    source = str(tmp_path / TRIALS_PARQUET) if is_file else SWEEP
    found, _ = earlier_results(store, source, NAMES, ["holdout_loss"], CONFIGS)
    assert len(found) == len(earlier_results(store, SWEEP, NAMES, METRICS, CONFIGS)[0])
    for earlier in found:
        error = error_after(earlier.params["base_lr"], earlier.params["batch_size"], EPOCHS)
        assert earlier.values == pytest.approx((error / 30,))


def test_without_its_epochs_a_file_has_no_such_metric(store: LocalStore, tmp_path: Path) -> None:
    path = Path(shutil.copy(store.sweep_folder(SWEEP) / TRIALS_PARQUET, tmp_path))
    with pytest.raises(UserError, match="has base_lr, batch_size, holdout_loss: leave warm_start out"):
        earlier_results(store, str(path), NAMES, ["holdout_loss"], CONFIGS)


def test_scaled_trials_have_the_parameters_of_their_scale_or_those_that_were_proposed(
    store: LocalStore, tmp_path: Path
) -> None:
    table = pq.read_table(store.sweep_folder(SWEEP) / TRIALS_PARQUET)
    variables = [
        json.dumps({**json.loads(text), "published_batch_size": 512}) for text in table["variables"].to_pylist()
    ]
    index = table.schema.get_field_index("variables")
    path = tmp_path / TRIALS_PARQUET
    pq.write_table(table.set_column(index, table.schema.field(index), pa.array(variables)), path)
    found, _ = earlier_results(store, str(path), NAMES, METRICS, CONFIGS)
    assert {earlier.params["batch_size"] for earlier in found} <= {32, 64, 128}
    found, _ = earlier_results(store, str(path), NAMES, METRICS, CONFIGS, as_proposed=True)
    assert {earlier.params["batch_size"] for earlier in found} == {512}


def test_only_the_first_generation_of_a_population_counts(tmp_path: Path) -> None:
    found, _ = earlier_results(write_population(tmp_path), BRED, ["base_lr"], METRICS, CONFIGS)
    assert [earlier.values for earlier in found] == [(20.0,), (10.0,)]


def test_published_rows_tell_of_base_lr_and_that_they_are_of_the_test_images() -> None:
    found, notes = earlier_results(LocalStore(Path("nowhere")), "published", NAMES, METRICS, CONFIGS)
    usual = [item for item in published_configurations() if not item.configuration.variant]
    expected = [cell for item in usual for cell in item.cells if cell.model == "resnet_preact_20"]
    assert len(found) == len(expected) == 99
    for earlier, cell in zip(found, expected, strict=True):
        assert earlier.params["base_lr"] * cell.batch_size == pytest.approx(cell.lr * 128)
        assert earlier.values == (cell.test_error_percent,)
    assert notes == [PUBLISHED_NOTE]


@pytest.mark.parametrize(
    ("names", "fields", "variants"),
    [
        (["lr"], {}, {""}),
        (["lr"], {"optimizer": "lars"}, {"LARS"}),
        (["lr"], {"ghost_batch_size": 128, "batch_size": 1024}, {"", "ghost batch size 128"}),
        (["lr"], {"precision": "pure_fp16"}, {"", "fp16 precision"}),
        (["lr"], {"weight_decay": 2e-4}, {"", "weight decay 0.0002"}),
        (["lr", "precision"], {}, {"", "mixed precision", "fp16 precision"}),
        (["weight_decay"], {}, {"", *(f"weight decay 0.000{digit}" for digit in (2, 3, 4, 5))}),
    ],
)
def test_the_sequel_serves_searches_with_its_settings(
    names: list[str], fields: dict[str, object], variants: set[str]
) -> None:
    """Rates of LARS are 100 times smaller: neither optimiser's search may learn from the other's."""
    found, _ = earlier_results(LocalStore(Path("nowhere")), "published", names, METRICS, [make_config(**fields)])
    known = [item for item in published_configurations() if item.configuration.model == "resnet_preact_20"]
    cells = [cell for item in known if item.configuration.variant in variants for cell in item.cells]
    assert {item.configuration.variant for item in known} > variants
    assert [earlier.values for earlier in found] == [(cell.test_error_percent,) for cell in cells]
    if "precision" in names:
        assert {earlier.params["precision"] for earlier in found} == {"fp32", "fp16", "pure_fp16"}


@pytest.mark.parametrize(
    ("source", "names", "metrics", "fields"),
    [
        (SWEEP, [*NAMES, "warmth"], METRICS, {}),
        (SWEEP, NAMES, METRICS, {"model": "resnet_20"}),
        (SWEEP, NAMES, METRICS, {"optimizer": "lars"}),
        (SWEEP, NAMES, ["holdout_loss", "no_metric"], {}),
        ("published", NAMES, ["train_seconds"], {}),
        ("published", NAMES, METRICS, {"optimizer": "adamw"}),
    ],
    ids=[
        *("no such parameter", "other models", "other optimizer", "one metric of two"),
        *("published have no such metric", "nor such optimizer"),
    ],
)
def test_a_source_without_a_row_that_can_be_used_is_refused(
    store: LocalStore, source: str, names: list[str], metrics: list[str], fields: dict[str, object]
) -> None:
    with pytest.raises(
        UserError, match=r"search.warm_start .*: leave warm_start out, or name other results"
    ) as error:
        earlier_results(store, source, names, metrics, [make_config(**fields)])
    assert "\n" not in str(error.value)


def test_a_sweep_without_held_out_images_cannot_guide_a_search(tmp_path: Path) -> None:
    store, config = LocalStore(tmp_path), make_config(epochs=1)
    write_trial(store, config, [make_epoch(1, 10.0)], make_end(Status.COMPLETE, 1))
    export_tables(*Collector(store, make_manifest([config])).tables(), str(store.sweep_folder("sweep")))
    with pytest.raises(UserError, match="has lr, holdout_error_percent"):
        earlier_results(store, "sweep", ["lr"], METRICS, [config])


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "trials.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read") as error:
        earlier_results(LocalStore(tmp_path), str(path), NAMES, METRICS, CONFIGS)
    assert "\n" not in str(error.value)


def test_a_parquet_of_something_else_is_recognized(store: LocalStore) -> None:
    path = store.sweep_folder(SWEEP) / EPOCHS_PARQUET
    with pytest.raises(
        UserError, match=r"^search.warm_start: .* is not a trials.parquet of a sweep: name one, or a sweep$"
    ):
        earlier_results(store, str(path), NAMES, METRICS, CONFIGS)


def test_a_sweep_that_is_not_there_is_named(store: LocalStore) -> None:
    with pytest.raises(UserError, match=r"^search.warm_start: no sweep 'other'"):
        earlier_results(store, "other", NAMES, METRICS, CONFIGS)
