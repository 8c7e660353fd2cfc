"""Which trials the schedulers stop, pause and promote, and when."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

from search_spaces.schema import SchedulerSpec
from sweep.search.scheduler import PromotingRungs, Rung, StoppingRungs, make_scheduler
from sweep.search.state import Scheduler
from trainable.errors import UserError

ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)


def rungs(scheduler: Scheduler) -> list[Rung]:
    """The rungs of ASHA or HyperBand, from the lowest bracket and epoch; other schedulers have none."""
    if isinstance(scheduler, PromotingRungs):
        return scheduler.rungs
    return (
        [rung for bracket in scheduler.brackets for rung in bracket] if isinstance(scheduler, StoppingRungs) else []
    )


def scheduler(spec: SchedulerSpec, num_trials: int, epochs: int, seed: int = 0) -> Scheduler:
    made = make_scheduler(spec, epochs, seed)
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
    made = make_scheduler(ASHA, 9, 0)
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

    def play(num_events: int, made: Scheduler | None = None, first: int = 0) -> tuple[Scheduler, list[bool]]:
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
    one, other = scheduler(spec, 60, 27, seed=0), make_scheduler(spec, 27, 0)
    for number in reversed(range(60)):
        other.add(number, 27)
    for made in (one, other):
        for number in range(60):
            made.report(number, 26, 1.0)
    assert isinstance(one, StoppingRungs)
    assert isinstance(other, StoppingRungs)
    brackets = [{number for rung in bracket for number in rung.values} for bracket in one.brackets]
    assert [len(found) > 0 for found in brackets] == [True, True, True]
    assert sorted(number for found in brackets for number in found) == list(range(60))
    assert brackets == [{number for rung in bracket for number in rung.values} for bracket in other.brackets]


def test_a_grace_longer_than_the_trials_is_refused() -> None:
    with pytest.raises(UserError, match="grace_epochs 10 is more than the 9 epochs of a trial"):
        make_scheduler(SchedulerSpec(type="asha", grace_epochs=10), 9, 0)


class Stub:
    """What Ray's schedulers read of a trial."""

    def __init__(self, number: int) -> None:
        self.trial_id = str(number)


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_without_equal_values_it_decides_as_rays_schedulers(kind: str) -> None:
    spec = SchedulerSpec.model_validate({"type": kind, "grace_epochs": 2})
    common = {"time_attr": "epoch", "metric": "value", "mode": "min", "grace_period": spec.grace_epochs}
    rays: Any = MedianStoppingRule(min_samples_required=spec.min_trials, **common)
    if kind != "median":
        sizes = {"reduction_factor": spec.reduction_factor, "brackets": spec.brackets}
        rays = AsyncHyperBandScheduler(max_t=27, **sizes, **common)
    made, trials = scheduler(spec, 60, 27, seed=3), [Stub(number) for number in range(60)]
    state = np.random.get_state()
    for number, trial in enumerate(trials):
        np.random.seed((3, number))
        rays.on_trial_add(SimpleNamespace(get_live_trials=list), trial)
    np.random.set_state(state)
    draw, begun, stopped = np.random.default_rng(1), [0] * 60, [False] * 60
    while left := [number for number in range(60) if begun[number] < 27 and not stopped[number]]:
        number = int(draw.choice(left[:4]))
        begun[number] += 1
        value = float(draw.uniform(0, 90))
        result = {"epoch": begun[number], "value": value}
        stopped[number] = made.report(number, begun[number], value)
        if begun[number] == 27:
            rays.on_trial_complete(None, trials[number], result)
        else:
            answer = rays.on_trial_result(SimpleNamespace(get_live_trials=list), trials[number], result)
            assert stopped[number] == (answer == rays.STOP)
    assert 5 < sum(stopped) < 58


def num_going_on(spec: SchedulerSpec, values: list[float]) -> int:
    """Number of trials that go on past epoch 1, of those that report these values there in turn."""
    made = scheduler(spec, len(values), 9)
    return sum(not made.report(number, 1, value) for number, value in enumerate(values))


CHANCE = 90.0


@pytest.mark.parametrize(("kind", "kept"), [("asha", 1 / 3), ("hyperband", 1 / 3), ("median", 1 / 2)])
def test_of_equal_trials_only_as_many_go_on_as_the_rule_keeps(kind: str, kept: float) -> None:
    spec = SchedulerSpec.model_validate({"type": kind, "brackets": 1} if kind == "hyperband" else {"type": kind})
    assert kept * 300 - 3 <= num_going_on(spec, [CHANCE] * 300) <= kept * 300 + 3
    draw = np.random.default_rng(0)
    values = [CHANCE if draw.random() < 0.7 else float(draw.uniform(20, 80)) for _ in range(300)]
    better = sum(value < CHANCE for value in values)
    assert num_going_on(spec, values) <= max(kept * 300, better) + 20, (
        "beside those that were the best when they came"
    )


def test_a_tie_at_the_mean_of_values_that_round_is_a_tie() -> None:
    made = scheduler(SchedulerSpec(type="median"), 40, 9)
    chance = 100 * (1 - 17 / 179)
    answers: dict[int, list[bool]] = {number: [] for number in range(40)}
    for number in range(40):
        for epoch in range(1, 9):
            answers[number].append(made.report(number, epoch, chance))
    assert 18 <= sum(not any(stopped) for stopped in answers.values()) <= 22


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_decisions_of_the_log_count_before_those_of_the_rule(kind: str) -> None:
    """Earlier versions let every trial go on that was equal to the cut-off."""
    made = scheduler(SchedulerSpec.model_validate({"type": kind}), 12, 9)
    assert not any(made.report(number, 1, CHANCE, decision=False) for number in range(12))
    assert made.report(3, 2, CHANCE) is False
    again = scheduler(SchedulerSpec.model_validate({"type": kind}), 12, 9)
    assert again.report(0, 1, CHANCE, decision=True)
    assert again.report(0, 2, CHANCE)


PROMOTION = SchedulerSpec(type="promotion", grace_epochs=1, reduction_factor=3)


def promoting(num_trials: int, epochs: int = 9) -> PromotingRungs:
    made = scheduler(PROMOTION, num_trials, epochs)
    assert isinstance(made, PromotingRungs)
    return made


def test_a_trial_pauses_at_each_rung_and_the_best_of_the_highest_is_promoted() -> None:
    made = promoting(7)
    assert all(made.report(number, 1, value) for number, value in enumerate([50.0, 60.0, 40.0, 70.0, 45.0, 80.0]))
    promoted = []
    for _ in range(2):
        number = made.promotable()
        assert number is not None
        promoted.append(number)
        made.promote(number)
        assert made.report(number, 2, 99.0) is False, "no rung at epoch 2"
    assert promoted == [2, 4], "the best third of six"
    assert made.promotable() is None
    assert made.report(2, 3, 39.0) is made.report(4, 3, 38.0) is True
    assert made.promotable() is None, "no third of two"
    assert made.report(6, 1, 30.0)
    made.promote(6)
    assert not made.report(6, 2, 30.0)
    assert made.report(6, 3, 37.0)
    assert made.promotable() == 6, "of the higher rung, although trial 0 is now among the best of the lower"
    made.promote(6)
    assert [made.report(6, epoch, 99.0) for epoch in range(4, 10)] == [False] * 6
    assert made.promotable() is None


def test_equal_trials_are_promoted_in_the_order_of_their_arrival_and_no_more_than_a_third() -> None:
    made = promoting(9)
    for number in range(8, -1, -1):
        made.report(number, 1, CHANCE)
    promoted = []
    while (best := made.promotable()) is not None:
        made.promote(best)
        promoted.append(best)
    assert promoted == [8, 7, 6]


def test_a_trial_that_diverges_is_never_promoted_and_makes_no_room() -> None:
    made = promoting(8)
    for number, value in enumerate([10.0, None, math.nan, 50.0, 60.0, 55.0, 70.0, 80.0]):
        assert made.report(number, 1, value) is (number not in (1, 2))
    assert made.promotable() == 0
    made.promote(0)
    made.report(0, 2, None)
    made.end(0)
    assert made.promotable() == 3, "of five that did not diverge"
    made.promote(3)
    assert made.promotable() is None
