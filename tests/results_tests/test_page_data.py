"""The data of the interactive page: what it holds of each trial, and how learning curves are thinned."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from results.parquet.collect import Collector
from results.parquet.files import read_epochs, read_trials
from results.report.page_data import MOST_EPOCHS, page_data, page_json
from results.store.local_store import LocalStore
from tests.conftest import ROOT
from tests.results_tests.report_samples import ERROR, SCRIPT, SWEEP, write_evil_sweep
from tests.results_tests.result_samples import make_config, make_manifest
from tests.results_tests.store_samples import train


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return data_of(write_evil_sweep(tmp_path_factory.mktemp("evil")), SWEEP)


def data_of(store: LocalStore, sweep: str) -> dict[str, Any]:
    return page_data(read_trials(store, sweep), read_epochs(store, sweep))


def test_every_trial_has_its_row_whatever_became_of_it(evil: dict[str, Any]) -> None:
    trials = evil["trials"]
    assert sorted(trials["status"]) == ["complete"] * 5 + ["diverged", "failed"]
    errors = dict(zip(trials["status"], trials["test_error_percent"], strict=True))
    assert errors["failed"] is errors["diverged"] is None, "the last error of such a trial is no result"
    assert trials["batch_size"] == [4096, 4096, 2048, 2048, 1024, 1024, 512]
    assert trials["cell"] == [1, 1, 2, 2, 3, 3, 4]
    assert {len(column) for column in trials.values()} == {len(evil["details"])} == {7}
    assert evil["details"][6]["error"] == ERROR


def test_parameters_come_first_and_a_field_that_does_not_vary_is_no_column(evil: dict[str, Any]) -> None:
    roles = [field["role"] for field in evil["fields"]]
    assert roles == sorted(roles, key=["parameter", "result", "identity"].index)
    kinds = {field["name"]: field["kind"] for field in evil["fields"]}
    assert (kinds["batch_size"], kinds["augmentation"]) == ("number", "word")
    assert "momentum" not in kinds
    assert dict(evil["shared"])["momentum"] == "0.9"


def test_long_learning_curves_are_thinned_by_the_rule_that_is_told(evil: dict[str, Any]) -> None:
    epochs = evil["curves"]["epochs"][0]
    assert (len(epochs), epochs[0], epochs[-1]) == (MOST_EPOCHS, 1, 200)
    assert {after - before for before, after in itertools.pairwise(epochs)} == {3, 4}
    assert len(evil["curves"]["test_error_percent"][0]) == MOST_EPOCHS
    assert evil["curves"]["test_error_percent"][0][-1] == 10.57
    assert evil["curves"]["rule"].startswith(f"{MOST_EPOCHS} epochs of each trial at most")


def test_data_of_a_search_has_its_parameters_and_its_objective() -> None:
    data = data_of(LocalStore(ROOT / "results" / "examples" / "search_against_grid"), "tpe_asha")
    fields = {field["name"]: field for field in data["fields"]}
    assert data["metric"] == "objective.holdout_error_percent"
    assert fields["variable.base_lr"]["log"]
    assert set(data["trials"]["purpose"]) == {"search", "confirm"}
    assert sum(number is not None for number in data["trials"]["proposal"]) == len(data["trials"]["key"])


def test_a_stored_result_cannot_tell_whether_a_trial_is_running(tmp_path: Path) -> None:
    store, config = LocalStore(tmp_path), make_config(epochs=4)
    train(store, config, 2)
    assert page_data(*Collector(store, make_manifest([config])).tables())["trials"]["status"] == ["unfinished"]


def test_json_holds_no_markup(evil: dict[str, Any]) -> None:
    text = page_json(evil)
    assert "<" not in text
    assert json.loads(text) == evil
    assert SCRIPT in json.dumps(evil)


def test_a_sweep_without_a_trial_has_data_too() -> None:
    store = LocalStore(ROOT / "results" / "examples")
    data = page_data(*(read(store, "quickstart").slice(0, 0) for read in (read_trials, read_epochs)))
    assert data["trials"]["key"] == data["curves"]["epochs"] == []
