"""What a scheduler would have done, on curves whose answer is known."""

import json

import numpy as np
import pytest

from search_spaces.schema import SchedulerSpec
from sweep.search.curves import TrialCurve
from sweep.search.replay import Estimate, rank_correlations, replay, replay_json, replay_text, scheduler_spec
from trainable.errors import UserError
from trainable.records import Status
from trainable.rounding import tidied

ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)


def curve(*values: float) -> TrialCurve:
    return TrialCurve(values, (2.0,) * len(values), len(values), Status.COMPLETE)


def crossing(num_trials: int) -> list[TrialCurve]:
    """Curves that cross: the trial that is best at the end is worst after the first epoch."""
    return [curve(90.0 - end, end, end) for end in np.linspace(10, 30, num_trials).tolist()]


def parallel(num_trials: int) -> list[TrialCurve]:
    return [curve(end + 20, end + 10, end) for end in np.linspace(10, 30, num_trials).tolist()]


def test_curves_that_never_cross_cost_no_regret() -> None:
    result = replay(parallel(12), ASHA, num_workers=2, num_orders=50)
    assert result.winner_stopped_percent.mean == 0
    assert result.winner_stopped_percent.standard_error is not None
    assert result.winner_stopped_percent.standard_error > 0, "0 of 50 is not known exactly"
    assert result.regret == Estimate(0.0, 0.0)
    assert 20 < result.epochs_saved_percent.mean < 67
    assert result.seconds_saved_percent.mean == pytest.approx(result.epochs_saved_percent.mean), "epochs take as long"
    assert [correlation.spearman for correlation in result.rank_correlations] == pytest.approx([1.0, 1.0])


def test_a_winner_that_begins_badly_is_stopped_but_where_it_is_begun_first() -> None:
    """One trial at a time: the first at a rung is never stopped there, a later one is if it is the worst so far."""
    result = replay(crossing(5), ASHA, num_workers=1, num_orders=400)
    found = result.winner_stopped_percent
    assert found.standard_error is not None
    assert abs(found.mean - 80) < 3.5 * found.standard_error
    assert found.standard_error == pytest.approx(2.0, rel=0.15)
    assert result.regret is not None
    assert 0 < result.regret.mean <= (result.largest_regret or 0) <= 20
    assert result.rank_correlations[0].spearman == pytest.approx(-1.0)


def test_the_same_curves_give_the_same_figures_whatever_was_drawn_before() -> None:
    first = replay(crossing(6), SchedulerSpec(type="hyperband", brackets=2), 2, 20)
    np.random.random(5)
    assert replay(crossing(6), SchedulerSpec(type="hyperband", brackets=2), 2, 20) == first


def test_rank_correlation_is_over_those_that_went_on_and_came_to_their_end() -> None:
    curves = [*parallel(4), curve(1.0), TrialCurve((2.0, None), (1.0, 1.0), 3, Status.DIVERGED)]
    assert [(correlation.epoch, correlation.num_trials) for correlation in rank_correlations(curves)] == [
        (1, 4),
        (2, 4),
    ]
    assert [
        correlation.spearman for correlation in rank_correlations([curve(5.0, 1.0), curve(5.0, 2.0), curve(5.0, 3.0)])
    ] == [None]
    assert [correlation.spearman for correlation in rank_correlations(parallel(2))] == [None, None], (
        "two trials say nothing"
    )


def test_the_text_and_the_json_tell_the_same() -> None:
    result = replay(parallel(12), ASHA, num_workers=1, num_orders=1)
    text = replay_text(result, "sweep", "holdout error")
    assert text.splitlines()[0] == (
        "sweep: 12 trials under asha (grace_epochs 1, reduction_factor 3, brackets 1), 1 worker, 1 order"
    )
    assert f"epochs saved    {result.epochs_saved_percent.mean:.1f} %" in text, "one order has no standard error"
    content = json.loads(replay_json(result, "sweep", "holdout_error_percent"))
    assert content["epochs_saved_percent"] == {
        "mean": tidied(result.epochs_saved_percent.mean),
        "standard_error": None,
    }
    assert content["scheduler"] == {"type": "asha", "grace_epochs": 1, "reduction_factor": 3, "brackets": 1}


def test_long_trainings_are_reported_in_ten_lines() -> None:
    curves = [curve(*(end + 60 / epoch for epoch in range(1, 201))) for end in (5.0, 6.0, 7.0)]
    lines = replay_text(replay(curves, ASHA, 1, 2), "sweep", "holdout error").splitlines()
    epochs = [int(line.split()[1]) for line in lines if line.startswith("    epoch")]
    assert (epochs[0], epochs[-1]) == (1, 199)
    assert len(epochs) <= 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "median", "brackets": 2}, "brackets is not a key of median, which has grace_epochs, min_trials"),
        ({"type": "asha", "reduction_factor": 1}, "--reduction-factor 1: must be greater than or equal to 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        scheduler_spec(settings)
    assert scheduler_spec({"type": "hyperband", "brackets": None}).brackets == 3
