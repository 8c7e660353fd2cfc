"""Importances of parameters whose influence is known."""

import dataclasses
import random
from collections.abc import Callable, Mapping

import pytest

from results.parquet.search_results import Objective, Parameter, SearchResults, SearchTrial
from results.statistics.importance import MIN_TRIALS, importance
from tests.results_tests.result_samples import make_config, make_epoch, make_trial

RANGES = (Parameter("a", 0.0, 1.0), Parameter("b", 0.001, 1.0, log=True), Parameter("c", choices=("x", "y", "z")))
Values = Mapping[str, float]


def make_search(value_of: Callable[[Values], float], num: int = 60, stop_from: int | None = None) -> SearchResults:
    """Random trials; from number `stop_from` on they are stopped after epoch 1 with half the value."""
    dice = random.Random(0)  # noqa: S311
    trials = []
    for number in range(num):
        params: dict[str, float | str] = {"a": dice.random(), "b": 10 ** dice.uniform(-3, 0), "c": dice.choice("xyz")}
        place = {"a": float(params["a"]), "b": float(params["b"]), "c": float("xyz".index(str(params["c"])))}
        stopped = stop_from is not None and number >= stop_from
        changes = {"status": "STOPPED", "stopped_epoch": 1, "epochs_done": 1} if stopped else {}
        row = make_trial(make_config(seed=number), 9.0, objective_values=(value_of(place),), **changes)
        trials.append(SearchTrial(number, row, params))
    objectives = (Objective("holdout_error_percent"),)
    return SearchResults("random", num, 0, {"type": "none"}, objectives, RANGES, None, trials, {})


@pytest.mark.parametrize(
    ("value_of", "name"),
    [
        (lambda at: at["a"], "a"),
        (lambda at: len(str(at["b"])) and 1 / (1 + 50 * at["b"]), "b"),
        (lambda at: at["c"], "c"),
    ],
    ids=["uniform", "log", "choice"],
)
def test_what_decides_alone_has_all(value_of: Callable[[Values], float], name: str) -> None:
    found = importance(make_search(value_of), {})
    assert found is not None
    assert found.main[name] > 0.9
    assert all(found.total[other] < 0.05 for other in "abc" if other != name)
    assert found.explained > 0.8
    assert (found.num_trials, found.epoch) == (60, None)


def test_an_interaction_is_not_what_a_parameter_does_alone() -> None:
    found = importance(make_search(lambda at: (at["a"] - 0.5) * (at["c"] - 1), num=300), {})
    assert found is not None
    assert max(found.main["a"], found.main["c"]) < 0.2
    assert min(found.total["a"], found.total["c"]) > 0.6


def test_a_huge_value_does_not_hide_the_others() -> None:
    """The tests turn warnings into errors: squared, such a value is infinite."""
    search = make_search(lambda at: 1e200 if at["a"] > 0.98 else 10 * at["c"] + at["a"])
    found = importance(search, {})
    assert found is not None
    assert found.num_trials == 60


def test_a_single_parameter_has_all() -> None:
    search = make_search(lambda at: at["a"])
    found = importance(dataclasses.replace(search, parameters=RANGES[:1]), {})
    assert found is not None
    assert (found.main, found.total) == ({"a": 1.0}, {"a": 1.0})


def test_the_same_trials_give_the_same() -> None:
    search = make_search(lambda at: at["a"] + at["c"])
    assert importance(search, {}) == importance(search, {})


def test_where_any_was_stopped_all_are_compared_after_the_first_rung() -> None:
    search = make_search(lambda at: at["a"], stop_from=20)
    curves = {
        trial.trial.row.trial_key: [
            make_epoch(1, 9.0, holdout_error_percent=10.0 * "xyz".index(str(trial.params["c"])))
        ]
        for trial in search.trials
    }
    found = importance(search, curves)
    assert found is not None
    assert (found.num_trials, found.epoch) == (60, 1)
    assert found.main["c"] > 0.9


def test_time_adds_up_over_the_epochs() -> None:
    records = [make_epoch(epoch, 9.0, train_seconds=2.0) for epoch in (1, 2, 3)]
    assert Objective("train_seconds").value_after(records, 3) == 6.0
    assert Objective("train_seconds").value_after(records, 4) is None


def test_too_few_or_equal_trials_say_nothing() -> None:
    assert importance(make_search(lambda at: at["a"], num=MIN_TRIALS - 1), {}) is None
    assert importance(make_search(lambda at: 5.0), {}) is None
    noise = make_search(lambda at: random.Random(at["a"]).random())  # noqa: S311
    found = importance(dataclasses.replace(noise), {})
    assert found is not None
    assert found.explained < 0.2
