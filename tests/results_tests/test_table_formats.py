"""CSV and JSON: the numbers behind the Markdown."""

import csv
import io
import json

import pytest

from results.parquet.trials import group_repeats
from results.tables.layout import render, table_rows
from tests.results_tests.result_samples import make_config, make_trial

TRIALS = [
    make_trial(make_config(lr=0.1, weight_decay=0.0, seed=0), 8.125),
    make_trial(make_config(lr=0.1, weight_decay=0.0, seed=1), 9.125),
    make_trial(make_config(lr=0.2), None, status="DIVERGED"),
]
ROWS = table_rows(group_repeats(TRIALS))
COLUMNS = [
    "model",
    "batch_size",
    "lr",
    "schedule",
    "epochs",
    "weight_decay",
    "num_runs",
    "num_planned",
    "test_error_percent",
    "mean_test_error_percent",
    "std_test_error_percent",
    "total_seconds",
    "note",
]


def test_json_holds_the_numbers() -> None:
    done, diverged = json.loads(render(ROWS, "json", with_mean=False))
    assert list(done) == COLUMNS
    assert (done["model"], done["batch_size"], done["lr"], done["weight_decay"]) == ("ResNet-preact-20", 128, 0.1, 0)
    assert (done["num_runs"], done["num_planned"], done["test_error_percent"]) == (2, 2, 8.625)
    assert done["mean_test_error_percent"] == 8.625
    assert done["std_test_error_percent"] == pytest.approx(0.5**0.5)
    assert done["total_seconds"] == 1320.0
    assert (diverged["test_error_percent"], diverged["note"], diverged["num_runs"]) == (None, "diverged", 0)


def test_csv_holds_the_same() -> None:
    text = render(ROWS, "csv", with_mean=False)
    done, diverged = csv.DictReader(io.StringIO(text))
    assert list(done) == COLUMNS
    assert float(done["test_error_percent"]) == 8.625
    assert float(done["std_test_error_percent"]) == pytest.approx(0.5**0.5)
    assert (diverged["test_error_percent"], diverged["note"]) == ("", "diverged")
    assert "\r" not in text


def test_json_of_nothing_is_an_empty_list() -> None:
    assert json.loads(render([], "json", with_mean=False)) == []


def test_markdown_of_nothing_has_a_header() -> None:
    header, rule = render([], "markdown", with_mean=False).splitlines()
    assert len(header) == len(rule)
    assert "batch size" in header
