"""The searches that `benchmarks/search_quality.py` compares, on small budgets."""

from typing import Any

import pytest
from optuna.samplers import RandomSampler

from benchmarks.search_arms import ASHA, AskTell, Run, SearchDriver, makers, measure, run
from benchmarks.search_functions import Params
from benchmarks.search_problems import Curve, problem
from trainable.records import Status


class Given:
    """Begins these trials, pauses each once after two epochs, and resumes it when nothing else is left."""

    def __init__(self, given: list[dict[str, Any]]) -> None:
        self.given = given
        self.begun = 0
        self.paused: list[int] = []
        self.ends: list[tuple[int, Status]] = []

    def next(self) -> tuple[int, Params] | None:
        if self.begun < len(self.given):
            self.begun += 1
            return self.begun - 1, self.given[self.begun - 1]
        return None if not self.paused else (number := self.paused.pop(0), self.given[number])

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        if epoch == 2:
            self.paused.append(number)
        return epoch == 2

    def end(self, number: int, status: Status) -> None:
        self.ends.append((number, status))


def test_workers_train_side_by_side_and_a_paused_trial_is_resumed() -> None:
    good, lost = {"lr": 0.05, "batch_size": 64}, {"lr": 9.0, "batch_size": 64}
    driver = Given([good, {**good, "lr": 0.06}, lost])
    done = run(driver, problem("training"), seed=0, workers=2, budget=34)
    order = [(number, epoch) for number, _, epoch, _ in done.history]
    assert order[:6] == [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (0, 3)]
    assert len(order) == 34
    assert [curve.diverged for curve in done.curves] == [False, False, True]
    assert (2, Status.DIVERGED) in driver.ends
    assert driver.ends[:2] == [(0, Status.STOPPED), (1, Status.STOPPED)]


def test_the_share_that_diverges_by_quarter() -> None:
    diverged = (True, True, False, False, True, False, False, False)
    done = Run(curves=[Curve((90.0,), diverged=flag) for flag in diverged])
    assert [done.diverging(part) for part in range(4)] == [1.0, 0.0, 0.5, 0.0]
    assert Run().diverging(3) == 0


def test_a_run_is_a_function_of_its_seed_and_uses_its_budget() -> None:
    first, again, other = (measure("random + asha", "conditional", 4, seed, budget=81) for seed in (0, 0, 1))
    assert {**first, "cpu_seconds": 0} == {**again, "cpu_seconds": 0}
    assert first["regret"] != other["regret"]
    assert {"random", "tpe + asha (as it was)", "optuna tpe + hyperband"} <= set(makers())


@pytest.mark.parametrize("lost_is_complete", [True, False])
def test_what_optuna_is_told_of_a_training_that_diverged(lost_is_complete: bool) -> None:
    chosen = problem("sparse")
    driver = AskTell(chosen, 0, RandomSampler(seed=0), scheduler=ASHA, lost_is_complete=lost_is_complete)
    done = run(driver, chosen, seed=0, workers=2, budget=60)
    last = {number: (epoch, value) for number, _, epoch, value in done.history}
    lost = [number for number, found in last.items() if found == (1, 100.0)]
    told = [trial.state.name for trial in driver.study.get_trials()]
    assert {told[number] for number in lost} == {"COMPLETE" if lost_is_complete else "PRUNED"}


def test_our_search_proposes_a_parameter_only_where_it_is_there() -> None:
    chosen = problem("conditional")
    done = run(SearchDriver(chosen, "random", ASHA, 0), chosen, seed=0, workers=1, budget=40)
    assert {"momentum" in params for params in done.proposals} == {True, False}
    assert all(("momentum" in params) == (params["optimizer"] == "sgd") for params in done.proposals)
