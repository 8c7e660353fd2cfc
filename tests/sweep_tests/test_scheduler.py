"""Which trials Ray's schedulers stop and when, without a running Ray."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from search_spaces.schema import SchedulerSpec
from sweep.search.scheduler import RayScheduler
from trainable.errors import UserError

ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)


@dataclass(frozen=True, slots=True)
class Rung:
    """An epoch at which ASHA compares the trials of a bracket, and the values that they reported there."""

    bracket: int
    epoch: float
    values: dict[int, float]


def rungs(scheduler: RayScheduler) -> list[Rung]:
    """The rungs of ASHA or HyperBand, from the lowest bracket and epoch; other schedulers have none."""
    if not isinstance(scheduler._rules, AsyncHyperBandScheduler):
        return []
    return [
        Rung(bracket, epoch, {int(trial_id): -reward for trial_id, reward in recorded.items()})
        for bracket, rungs in enumerate(scheduler._rules._brackets)
        for epoch, recorded in reversed(rungs._rungs)
    ]


def scheduler(spec: SchedulerSpec, num_trials: int, epochs: int, seed: int = 0) -> RayScheduler:
    made = RayScheduler(spec, epochs, seed)
    for number in range(num_trials):
        made.add(number, epochs)
    return made


def test_asha_keeps_the_best_third_of_a_rung() -> None:
    made = scheduler(ASHA, 4, 9)
    answers = [made.report(number, 1, value) for number, value in enumerate([50.0, 60.0, 40.0, 48.0])]
    assert answers == [False, True, False, True]
    assert made.report(2, 2, 99.0) is False, "no rung at epoch 2"
    assert {rung.epoch: rung.values for rung in rungs(made)} == {
        1: {0: 50.0, 1: 60.0, 2: 40.0, 3: 48.0},
        3: {},
        9: {},
    }


def test_the_median_rule_waits_for_its_trials_and_its_grace() -> None:
    made = scheduler(SchedulerSpec(type="median", grace_epochs=2, min_trials=2), 3, 5)
    for epoch in (1, 2, 3):
        assert [made.report(number, epoch, 10.0 * number) for number in (0, 1)] == [False, False]
    assert made.report(2, 1, 90.0) is False, "within its grace"
    assert made.report(2, 2, 90.0) is True


def test_without_a_scheduler_nobody_is_stopped() -> None:
    made = scheduler(SchedulerSpec(type="none"), 2, 3)
    assert not any(made.report(number, epoch, 100.0 * number) for epoch in (1, 2, 3) for number in (0, 1))
    assert rungs(made) == []


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_the_last_epoch_stops_nobody_and_counts(kind: str) -> None:
    spec = SchedulerSpec.model_validate({"type": kind})
    made = scheduler(spec, 8, 3)
    stopped = [made.report(number, 3, 10.0 + number) for number in range(8)]
    assert not any(stopped)
    if kind != "median":
        assert sum(len(rung.values) for rung in rungs(made)) > 0


def test_a_short_trial_is_not_stopped_at_its_own_end() -> None:
    made = RayScheduler(ASHA, 9, 0)
    made.add(0, 9)
    made.add(1, 3)
    assert made.report(0, 3, 10.0) is False
    assert made.report(1, 3, 90.0) is False
    assert {rung.epoch: rung.values for rung in rungs(made)}[3] == {0: 10.0, 1: 90.0}


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_finite_is_compared_with_nobody(value: float | None) -> None:
    made = scheduler(ASHA, 3, 9)
    assert made.report(0, 1, value) is False
    assert made.report(1, 1, 50.0) is False
    made.end(0)
    assert made.report(2, 1, 40.0) is False
    assert rungs(made)[0].values == {1: 50.0, 2: 40.0}


def test_a_stopped_trial_stays_stopped_and_feeds_nothing_more() -> None:
    made = scheduler(ASHA, 2, 9)
    made.report(0, 1, 10.0)
    assert made.report(1, 1, 20.0) is True
    assert made.report(1, 3, 5.0) is True
    made.end(1)
    assert rungs(made)[1].values == {}


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_feeding_the_same_epochs_again_restores_the_state(kind: str) -> None:
    """The state of numpy's global generator has no influence, and is left as it was."""
    spec = SchedulerSpec.model_validate({"type": kind})
    draw = np.random.default_rng(1)
    events = [(number, epoch, float(draw.uniform(0, 90))) for epoch in range(1, 28) for number in range(30)]

    def play(num_events: int, made: RayScheduler | None = None, first: int = 0) -> tuple[RayScheduler, list[bool]]:
        made = made or scheduler(spec, 30, 27, seed=5)
        return made, [made.report(*event) for event in events[first:num_events]]

    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    whole, answers = play(len(events))
    assert np.random.random() == expected
    np.random.seed(2)
    half, before = play(400)
    _, after = play(len(events), half, 400)
    assert before + after == answers
    assert rungs(half) == rungs(whole)
    assert any(answers)
    assert not all(answers)


def test_hyperband_spreads_trials_over_its_brackets_by_their_numbers() -> None:
    spec = SchedulerSpec.model_validate({"type": "hyperband", "brackets": 3})
    one, other = scheduler(spec, 60, 27, seed=0), RayScheduler(spec, 27, 0)
    for number in reversed(range(60)):
        other.add(number, 27)
    for made in (one, other):
        for number in range(60):
            made.report(number, 26, 1.0)
    brackets = [{rung.bracket for rung in rungs(one) if number in rung.values} for number in range(60)]
    assert brackets == [{rung.bracket for rung in rungs(other) if number in rung.values} for number in range(60)]
    assert {bracket for found in brackets for bracket in found} == {0, 1, 2}


def test_a_grace_longer_than_the_trials_is_refused() -> None:
    with pytest.raises(UserError, match="grace_epochs 10 is more than the 9 epochs of a trial"):
        RayScheduler(SchedulerSpec(type="asha", grace_epochs=10), 9, 0)
