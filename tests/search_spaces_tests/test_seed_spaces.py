"""The spaces of the published tables hold exactly the published configurations, and each has a smoke scale."""

import dataclasses
import functools
import json

import pytest

from results.parquet.files import read_trials
from results.parquet.trials import Cell, group_repeats, trials_from_table
from results.published.cells import (
    LONGER_FILE,
    SEQUEL_FILE,
    Configuration,
    PublishedCell,
    published_cells,
    table_cells,
    table_names,
)
from results.published.counts import work_counts
from results.statistics.compare import compare
from results.statistics.matching import stands_for
from results.store.local_store import LocalStore
from results.tables.search_table import sweep_table
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from search_spaces.yaml_source import parse_yaml
from tests.conftest import ROOT
from tests.results_tests.result_samples import make_trial
from trainable.config import PlannedTrial, TrainConfig
from trainable.data.sizes import NUM_IMAGES
from trainable.grouping import grouped
from trainable.records import Status

MAIN = ["resnet110", "resnet_preact110"]
SEED = [*MAIN, "linear_scaling_cosine", "linear_scaling_multistep", "initial_lr", "longer_training"]
ALL = [*SEED, "linear_scaling_longer"]
SEQUEL = ["lars", "ghost_bn", "no_weight_decay_on_bn", "mixed_precision"]
MAX_SMOKE_IMAGES = 600_000
"""Training images of all epochs; with the 8-layer networks, about four minutes on two cores."""
MAX_SMOKE_STEPS = 40_000


@functools.cache
def trials_of(name: str, scale: str | None = None) -> list[PlannedTrial]:
    return expand(load_space(name), {}, scale).trials


def cells_of(name: str) -> list[PublishedCell]:
    """The published cells of the space's reference; of the main table, only those of the space's model."""
    cells = [cell for table in load_space(name).space.reference for cell in table_cells(table)]
    return [cell for cell in cells if name not in MAIN or cell.model == trials_of(name)[0].config.model]


def configuration(config: TrainConfig) -> Configuration:
    return Configuration(config.model, config.batch_size, config.lr, config.schedule, config.epochs)


@pytest.mark.parametrize("name", ALL)
def test_the_configurations_are_the_published_ones(name: str) -> None:
    assert {configuration(trial.config) for trial in trials_of(name)} == {
        cell.configuration for cell in cells_of(name)
    }


@pytest.mark.parametrize("name", ALL)
def test_each_configuration_is_run_as_often_as_it_was_published(name: str) -> None:
    repeats = {cell.num_runs for cell in cells_of(name)}
    assert repeats == {load_space(name).space.repeats}
    assert len(trials_of(name)) == len(cells_of(name)) * repeats.pop()


@pytest.mark.parametrize("name", ALL)
def test_the_recipe_is_the_published_one(name: str) -> None:
    for trial in trials_of(name):
        config = trial.config
        published = {
            "dataset": "cifar10",
            "precision": "fp32",
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 1e-4,
        }
        assert {key: getattr(config, key) for key in published} == published
        assert config.milestones == ((0.5, 0.75) if config.schedule == "multistep" else None)
        assert config.lr_min_factor == (0.001 if config.schedule == "cosine" else None)
        assert (config.train_subset, config.test_subset, config.holdout) == (None, None, 0)
        assert config.augmentation == "crop_flip"


def test_together_they_are_all_91_rows() -> None:
    referred = [table for name in SEED for table in load_space(name).space.reference]
    assert sorted({*referred}) == sorted(table_names())
    assert sum(len(cells_of(name)) for name in SEED) == len(published_cells()) == 91
    assert load_space("linear_scaling_longer").space.reference == table_names(LONGER_FILE)


def test_73_configurations_and_77_trainings() -> None:
    configs = {trial.config for name in SEED for trial in trials_of(name)}
    assert len({configuration(config) for config in configs}) == 73
    assert len(configs) == 77
    assert sum(config.model == "resnet_preact_20" for config in configs) == 71


def as_cells(trials: list[PlannedTrial]) -> list[Cell]:
    """The trials as if they had been run."""
    rows = [
        make_trial(
            trial.config,
            8.0,
            repeat=trial.repeat,
            precision_resolved=trial.config.precision,
            variables=json.dumps(dict(trial.variables)),
        )
        for trial in trials
    ]
    return group_repeats(rows)


@pytest.mark.parametrize("name", SEQUEL)
def test_each_row_of_the_sequel_is_one_configuration_with_as_many_seeds_as_runs(name: str) -> None:
    published = grouped(cells_of(name), lambda cell: cell.configuration)
    runs = {configuration: max(cell.num_runs for cell in cells) for configuration, cells in published.items()}
    ours = grouped(as_cells(trials_of(name)), stands_for)
    assert {key: [len(cell.trials) for cell in cells] for key, cells in ours.items()} == {
        key: [num_runs] for key, num_runs in runs.items()
    }
    for (cell,) in ours.values():
        assert [trial.config.seed for trial in cell.trials] == list(range(len(cell.trials)))


@pytest.mark.parametrize("name", SEQUEL)
def test_nothing_of_the_sequels_recipe_is_missing(name: str) -> None:
    comparison = compare(name, as_cells(trials_of(name)))
    assert comparison.warnings == ()
    assert not [note for note in comparison.notes if note.startswith("precision")]
    assert len(comparison.cells) == len({cell.configuration for cell in cells_of(name)})
    assert {trial.config.lr_min_factor for trial in trials_of(name)} == {0.0}


@pytest.mark.parametrize("name", SEQUEL)
def test_the_smoke_form_of_the_sequel_is_compared_with_the_same_rows(name: str) -> None:
    full, smoke = (compare(name, as_cells(trials_of(name, scale))) for scale in (None, "smoke"))
    assert [cell.published for cell in smoke.cells] == [cell.published for cell in full.cells]
    changed = {"model", "epochs", "batch_size", "dataset", "train_subset", "test_subset", "augmentation"}
    for cell in smoke.cells:
        ghosts = {"ghost_batch_size"} if cell.published.configuration.ghost_batch_size else set()
        assert {departure.field for departure in cell.departures} == changed | ghosts


def test_the_sequel_is_133_rows() -> None:
    referred = [table for name in SEQUEL for table in load_space(name).space.reference]
    assert referred == table_names(SEQUEL_FILE)
    assert sum(len(cells_of(name)) for name in SEQUEL) == 133
    configs = {trial.config for name in SEQUEL for trial in trials_of(name)}
    counts = work_counts(published_cells(SEQUEL_FILE))
    assert (len(configs), sum(config.epochs for config in configs)) == (counts.num_runs, counts.epochs_of_runs)


@pytest.mark.parametrize("name", ["linear_scaling_cosine", "linear_scaling_multistep", "linear_scaling_longer"])
def test_batch_8_has_the_lr_as_printed_and_the_file_says_so(name: str) -> None:
    assert {trial.config.lr for trial in trials_of(name) if trial.config.batch_size == 8} == {0.006125}
    lines = load_space(name).source.text.splitlines()
    assert any(line.strip().startswith("#") and "0.006125" in line for line in lines)


@pytest.mark.parametrize("name", [*ALL, *SEQUEL])
def test_smoke_has_a_trial_for_every_full_one(name: str) -> None:
    full, smoke = trials_of(name), trials_of(name, "smoke")
    assert len(smoke) == len(full)
    for large, small in zip(full, smoke, strict=True):
        ghost = large.config.ghost_batch_size
        assert small.variables == {
            **large.variables,
            **({} if ghost is None else {"published_ghost_batch_size": ghost}),
            "published_model": large.config.model,
            "published_epochs": large.config.epochs,
            "published_batch_size": large.config.batch_size,
        }
        same = ("lr", "schedule", "milestones", "lr_min_factor", "seed", "precision", "optimizer", "weight_decay_on")
        assert [getattr(small.config, key) for key in same] == [getattr(large.config, key) for key in same]
        assert small.config.epochs < large.config.epochs
        assert small.config.batch_size < large.config.batch_size


@pytest.mark.parametrize("name", [*ALL, *SEQUEL])
def test_smoke_keeps_the_order_of_batch_sizes_and_of_epochs(name: str) -> None:
    for key in ("epochs", "batch_size"):
        pairs = {
            (trial.variables[f"published_{key}"], int(getattr(trial.config, key)))
            for trial in trials_of(name, "smoke")
        }
        assert sorted(pairs) == sorted(pairs, key=lambda pair: pair[1])
        assert len({large for large, _ in pairs}) == len({small for _, small in pairs}), "two sizes became one"


@pytest.mark.parametrize("name", [*ALL, *SEQUEL])
def test_smoke_fits_the_embedded_digits_and_stays_small(name: str) -> None:
    num_train, num_test = NUM_IMAGES["digits"]
    configs = [trial.config.for_dataset("digits", "", num_train, num_test) for trial in trials_of(name, "smoke")]
    assert {trial.config.dataset for trial in trials_of(name, "smoke")} == {"digits"}
    assert sum(config.epochs for config in configs) * num_train <= MAX_SMOKE_IMAGES
    assert sum(config.epochs * (num_train // config.batch_size) for config in configs) <= MAX_SMOKE_STEPS


EXAMPLES = ROOT / "results" / "examples"
WITH_EXAMPLE = ["linear_scaling_cosine", "initial_lr"]


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_committed_example_is_the_smoke_form_of_today(name: str) -> None:
    table = read_trials(LocalStore(EXAMPLES), f"{name}-smoke")
    ran = trials_from_table(table)
    planned = trials_of(name, "smoke")
    assert [dataclasses.replace(trial.config, dataset_fingerprint="") for trial in ran] == [
        trial.config.for_dataset("digits", "", *NUM_IMAGES["digits"]) for trial in planned
    ]
    assert [json.loads(trial.row.variables) for trial in ran] == [trial.variables for trial in planned]
    assert {trial.status for trial in ran} == {Status.COMPLETE}
    assert table.schema.metadata[b"batchscape.scale"] == b"smoke"
    text = sweep_table(table, "markdown", with_mean=False)
    assert text == (EXAMPLES / f"{name}-smoke" / "table.md").read_text()


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_header_names_the_committed_example(name: str) -> None:
    folder = EXAMPLES / f"{name}-smoke"
    assert {path.name for path in folder.iterdir()} >= {"trials.parquet", "epochs.parquet", "table.md"}
    assert f"results/examples/{name}-smoke" in parse_yaml(load_space(name).source.path).text


@pytest.mark.parametrize("name", [*ALL, *SEQUEL])
def test_the_header_tells_the_measured_cost_of_smoke(name: str) -> None:
    header = "\n".join(line for line in load_space(name).source.text.splitlines() if line.startswith("#"))
    assert "smoke: measured" in header
    assert "two CPU cores" in header
