"""What a table shows by choice: its order, its best row, and every trial; and that a row can be trained again."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

import tune_main
from results.parquet.files import read_trials
from results.parquet.trials import group_repeats, trials_from_table
from results.store.local_store import LocalStore
from results.tables.layout import csv_value, flat_row, render, setting_columns
from results.tables.search_table import sweep_rows, sweep_table
from results.tables.sorting import sort_rows
from results.tables.trial_table import trial_table
from search_spaces.expansion import parse_config
from tests.conftest import ROOT
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_trial
from tests.results_tests.searched_stores import BRED, SWEEP, write_population, write_search
from tests.results_tests.wide_stores import WIDE, write_wide_search
from trainable.config import TrainConfig, is_field

Rows = list[dict[str, str]]


def from_csv(text: str) -> Rows:
    return list(csv.DictReader(io.StringIO(text)))


def trained_again(row: dict[str, str]) -> TrainConfig:
    """Return what `train` makes of a row of CSV, with the fingerprint of the data set of the samples."""
    settings = [f"{name}={value}" for name, value in row.items() if name != "model" and is_field(name) and value]
    fingerprint = make_config().dataset_fingerprint
    return dataclasses.replace(parse_config(row["model"], settings), dataset_fingerprint=fingerprint)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return write_search(tmp_path_factory.mktemp("searched"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return write_wide_search(tmp_path_factory.mktemp("wide"))


def test_the_winner_of_a_search_can_be_trained_again_from_its_row(wide: LocalStore, searched: LocalStore) -> None:
    for store, name in ((wide, WIDE), (searched, SWEEP)):
        table = read_trials(store, name)
        keys = {trial.config.trial_key: trial for trial in trials_from_table(table)}
        chosen = [trained_again(row).trial_key for row in from_csv(sweep_table(table, "csv", with_mean=False))]
        assert set(chosen) <= set(keys)
        every = from_csv(trial_table(table, "csv"))
        assert [trained_again(row).trial_key for row in every] == [row["trial_key"] for row in every]
        assert {row["trial_key"] for row in every} == set(keys)


RECIPES: list[dict[str, object]] = [
    {"schedule": "multistep", "milestones": [0.3]},
    {"schedule": "linear", "lr_min_factor": 0.0},
    {"optimizer": "adamw", "betas": [0.8, 0.9], "lr": 0.001},
    {"optimizer": "lars", "eps": 1e-6, "nesterov": True},
    {"train_subset": 1000, "test_subset": 500, "holdout": 0.1, "precision": "fp32"},
    {"warmup_epochs": 5, "warmup_start_factor": 0.1, "clip_grad_norm": 1.5, "noise_scale": True},
    {"ghost_batch_size": 32, "augmentation": "none", "label_smoothing": 0.1, "cutout_size": 8},
    {"model": "resnet_110", "seed": 7, "weight_decay": 0.0},
]


@pytest.mark.parametrize("recipes", [RECIPES, *([recipe] for recipe in RECIPES)])
def test_so_can_rows_of_a_planned_sweep_whatever_their_recipes(recipes: list[dict[str, object]]) -> None:
    configs = [make_config(**recipe) for recipe in recipes]
    rows = sweep_rows(group_repeats([make_trial(config, 5.0) for config in configs]))
    trained = [trained_again(row).trial_key for row in from_csv(render(rows, "csv", with_mean=False))]
    assert sorted(trained) == sorted(config.trial_key for config in configs)


def test_what_derive_used_is_a_column_by_which_rows_are_sorted() -> None:
    """A grid of base_lr and batch_size, at two sizes that the trials stand for."""
    trials = [
        make_trial(
            make_config(batch_size=size, lr=base * size / 64),
            5.0,
            variables=json.dumps({"base_lr": base, "published_batch_size": 8 * size, "kind": "same"}),
        )
        for base in (0.2, 0.1)
        for size in (64, 128)
    ]
    rows = sweep_rows(group_repeats(trials))
    assert [row.other for row in sort_rows(rows, list(map(flat_row, rows)), "base_lr")] == [
        *[{"base_lr": 0.1}] * 2,
        *[{"base_lr": 0.2}] * 2,
    ]
    assert [row["base_lr"] for row in from_csv(render(rows, "csv", with_mean=False))] == ["0.2", "0.1", "0.2", "0.1"]
    assert setting_columns(rows)[-1].header == "base_lr"


def test_a_variable_that_is_a_field_under_another_name_is_no_column() -> None:
    trials = [
        make_trial(make_config(batch_size=64, ghost_batch_size=size), 5.0, variables=json.dumps({"norm_size": size}))
        for size in (16, 32, 64)
    ]
    rows = sweep_rows(group_repeats(trials))
    assert [row.other for row in rows] == [{"ghost_batch_size": size} for size in (16, 32, None)]


def test_where_nothing_is_zero_the_table_says_zero() -> None:
    trials = [make_trial(make_config(label_smoothing=value, clip_grad_norm=value), 5.0) for value in (None, 0.1)]
    rows = sweep_rows(group_repeats(trials))
    first = from_csv(render(rows, "csv", with_mean=False))[0]
    assert (first["label_smoothing"], first["clip_grad_norm"]) == ("0", "")
    assert [column.values[0] for column in setting_columns(rows)[-2:]] == ["no limit", "0"]


@pytest.mark.parametrize(("lr", "shown"), [(1.0, "1.0"), (25.6, "25.6"), (1000.0, "1000"), (1e8, "1e+08")])
def test_large_learning_rates_are_short(lr: float, shown: str) -> None:
    (row,) = sweep_rows(group_repeats([make_trial(make_config(lr=lr), 5.0)]))
    assert next(column.values for column in setting_columns([row]) if column.header == "initial lr") == [shown]


def test_own_models_are_named_with_their_files_and_arguments() -> None:
    configs = [
        make_config(model=f"net.py:{name}", model_args={"width": n}) for name, n in (("Wide", 64), ("Thin", 8))
    ]
    text = render(sweep_rows(group_repeats([make_trial(config, 5.0) for config in configs])), "csv", with_mean=False)
    rows = [(row["model"], row["model_args.width"]) for row in from_csv(text)]
    assert sorted(rows) == [("net.py:Thin", "8"), ("net.py:Wide", "64")]


def test_what_was_searched_is_a_column_also_where_it_is_no_field(searched: LocalStore) -> None:
    table = read_trials(searched, SWEEP)
    assert from_csv(sweep_table(table, "csv", with_mean=False))[0]["base_lr"].startswith("0.1837876251")
    text = sweep_table(table, "markdown", with_mean=False)
    assert "|  0.1838 |           **12.38** |" in text
    assert (
        "**" not in text.splitlines()[-3]
    )  # the second, though its test error is less: the search did not choose it
    assert text.splitlines()[-1].endswith("best tuned --yaml` trains the best again.")


def test_rows_of_a_search_are_in_its_order(wide: LocalStore) -> None:
    rows = from_csv(sweep_table(read_trials(wide, WIDE), "csv", with_mean=False))
    values = [float(row["holdout_error_percent"]) for row in rows]
    assert values == sorted(values)
    assert [row["best"] for row in rows] == ["True", *["False"] * 23]


def test_other_fields_than_the_published_ones_leave_the_rows_as_the_space_has_them() -> None:
    trials = [
        make_trial(make_config(lr=lr, weight_decay=decay), 9.0 - decay)
        for lr in (0.1, 0.3, 0.2)
        for decay in (0.0, 1e-3, 5e-4)
    ]
    rows = sweep_rows(group_repeats(trials))
    assert [(row.lr, row.other["weight_decay"]) for row in rows] == [
        (trial.config.lr, trial.config.weight_decay) for trial in trials
    ]


def test_the_best_is_bold_where_the_number_stands() -> None:
    trials = [make_trial(make_config(lr=lr, seed=seed), error) for lr, seed, error in RUNS]
    plain = render(sweep_rows(group_repeats(trials[:2])), "markdown", with_mean=False)
    lines = render(sweep_rows(group_repeats(trials)), "markdown", with_mean=False).splitlines()
    assert "**" not in plain  # one row has nothing to be better than
    assert [line.count("**") for line in lines] == [0, 0, 0, 0, 2]
    assert lines[3].index("9.70") == lines[4].index("8.00")
    assert len({len(line) for line in lines}) == 1


RUNS = [(0.1, 0, 7.0), (0.1, 1, 9.0), (0.2, 0, 9.7), (0.3, 0, None)]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("test_error_percent", ["8.0", "9.7", ""]),
        ("test_error_percent:desc", ["9.7", "8.0", ""]),
        ("lr", ["8.0", "9.7", ""]),
        ("note", ["", "9.7", "8.0"]),
    ],
)
def test_rows_are_sorted_by_any_column_missing_values_last(sort: str, expected: list[str]) -> None:
    trials = [
        make_trial(make_config(lr=lr, seed=seed), error, status="COMPLETE" if error else "DIVERGED")
        for lr, seed, error in RUNS
    ]
    rows = from_csv(render(sweep_rows(group_repeats(trials)), "csv", with_mean=False))
    flat = json.loads(render(sweep_rows(group_repeats(trials)), "json", with_mean=False))
    assert [row["test_error_percent"] for row in sort_rows(rows, flat, sort)] == expected


def test_numbers_are_sorted_as_numbers_also_inside_words() -> None:
    values = ["ResNet-110", 30, 4.5, None, "ResNet-20", (0.3, 0.6), (0.25,), True]
    flat = [{"x": value} for value in values]
    assert sort_rows(values, flat, "x") == [(0.25,), (0.3, 0.6), True, 4.5, 30, "ResNet-20", "ResNet-110", None]


def test_all_lists_every_trial_with_what_steered_the_search(searched: LocalStore) -> None:
    table = read_trials(searched, SWEEP)
    rows = from_csv(trial_table(table, "csv"))
    recorded = {trial.row.trial_key: trial.row for trial in trials_from_table(table)}
    assert [(row["proposal"], row["purpose"]) for row in rows][-7:] == [
        ("26", "search"),
        *[("5", "confirm")] * 3,
        *[("23", "confirm")] * 3,
    ]
    for row in rows:
        kept = recorded[row["trial_key"]]
        (value,) = kept.objective_values or (None,)
        assert row["holdout_error_percent"] == ("" if value is None else f"{value:.12g}")
        assert (row["status"], row["epochs_done"]) == (kept.status.lower(), str(kept.epochs_done))
    assert {row["status"] for row in rows} == {"complete", "stopped", "diverged", "incomplete"}
    assert [row["proposal"] for row in rows if row["best"] == "True"] == ["5"] * 4
    lines = trial_table(table, "markdown", sort="epochs_done:desc").splitlines()
    assert len(lines) == 2 + len(rows) + 2
    assert "--all --format csv` has all digits" in lines[-1]


def test_all_tells_from_which_trial_a_member_of_a_population_comes(tmp_path: Path) -> None:
    rows = json.loads(trial_table(read_trials(write_population(tmp_path), BRED), "json"))
    assert [row["proposal"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert rows[5]["parent"] == rows[2]["trial_key"]
    assert [row["best"] for row in rows] == [*[False] * 5, True]


def test_results_have_twelve_digits_and_settings_all_of_theirs() -> None:
    trials = [make_trial(make_config(lr=0.1 + 0.2, seed=seed), error) for seed, error in enumerate((77.6, 77.8))]
    (row,) = json.loads(render(sweep_rows(group_repeats(trials)), "json", with_mean=False))
    assert (row["mean_test_error_percent"], row["std_test_error_percent"]) == (77.7, 0.141421356237)
    assert row["lr"] == 0.1 + 0.2
    assert csv_value((0.3, 0.6)) == "[0.3, 0.6]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--sort", "test_eror_percent"], "no such column: did you mean 'test_error_percent'?"),
        (["quickstart", "--sort", "Test Error"], "no such column: did you mean 'test_error_percent'?"),
        (
            ["quickstart", "--sort", "lr:down"],
            "table --sort lr:down: write FIELD, or FIELD:desc for the largest first",
        ),
        (["quickstart", "--all", "--sort", "note"], "table --sort note: no such column: valid: trial_key"),
        (["quickstart", "--all", "--mean"], "not allowed with argument"),
        (
            ["published", "--sort", "lr"],
            "table --sort: needs a sweep: published tables are shown as they",
        ),
        (["published", "--all"], "table --all: needs a sweep"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(ROOT / "results" / "examples")
    assert message in refused(["table", *arguments, "--store", store], capsys)


def test_the_command_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    store = str(ROOT / "results" / "examples")
    command = ["table", "quickstart", "--store", store, "--format", "csv", "--sort", "total_seconds:desc"]
    assert tune_main.main(command) == 0
    seconds = [float(row["total_seconds"]) for row in from_csv(capsys.readouterr().out)]
    assert seconds == sorted(seconds, reverse=True)
