"""Simulated sweeps: whose epoch comes when, and what is counted."""

import pytest

from search_spaces.schema import SchedulerSpec
from sweep.search.curves import TrialCurve
from sweep.search.scheduler import make_scheduler
from sweep.search.simulation import ScheduledCurves, Simulation, simulate
from trainable.records import Status

NONE = SchedulerSpec(type="none")
ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=2)


def straight(end: float, seconds: float = 1.0, epochs: int = 4) -> TrialCurve:
    return TrialCurve((end,) * epochs, (seconds,) * epochs, epochs, Status.COMPLETE)


def run(curves: list[TrialCurve], spec: SchedulerSpec = NONE, num_workers: int = 1) -> Simulation:
    return simulate(
        ScheduledCurves(curves, make_scheduler(spec, max(trial.epochs for trial in curves), 0)), num_workers
    )


def test_one_worker_trains_one_after_the_other() -> None:
    done = run([straight(10, 2.0, 2), straight(20, 3.0, 3)])
    assert done.order == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    assert done.wall_seconds == done.worker_seconds == 2 * 2.0 + 3 * 3.0
    assert done.best == 10


def test_two_workers_report_in_the_order_of_their_clocks() -> None:
    """The fast one takes the third trial at 2 s, while the slow one is in its first epoch."""
    done = run([straight(10, 3.0, 2), straight(20, 1.0, 2), straight(30, 2.0, 1)], num_workers=2)
    assert done.order == [(1, 1), (1, 2), (0, 1), (2, 1), (0, 2)]
    assert done.wall_seconds == 6.0
    assert done.worker_seconds == 10.0
    assert list(done.ended) == [1, 2, 0]


def test_a_stopped_trial_makes_room_and_is_not_counted_as_an_end() -> None:
    done = run([straight(10), straight(20), straight(5)], ASHA)
    assert done.order == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert [trial.status for trial in done.ended.values()] == [Status.COMPLETE, Status.STOPPED, Status.COMPLETE]
    assert (done.ended[1].epochs_done, done.ended[1].curve.values[0], done.ended[1].seconds) == (1, 20, 1.0)
    assert done.epochs_trained == 9
    assert done.best == 5


def test_a_trial_that_diverges_ends_there_and_never_wins() -> None:
    done = run([TrialCurve((3.0, None), (1.0, 1.0), 4, Status.DIVERGED), straight(50)], ASHA)
    assert (done.ended[0].status, done.ended[0].curve.values[-1], done.ended[0].epochs_done) == (
        Status.DIVERGED,
        None,
        2,
    )
    assert done.best is None, "the only other trial was stopped against what the diverged one had reported"
    assert run([TrialCurve((None,), (1.0,), 4, Status.DIVERGED), straight(50)], ASHA).best == 50


@pytest.mark.parametrize("num_workers", [1, 3])
def test_without_a_scheduler_everything_is_trained(num_workers: int) -> None:
    done = run([straight(end) for end in range(1, 8)], num_workers=num_workers)
    assert done.epochs_trained == 7 * 4
    assert {trial.status for trial in done.ended.values()} == {Status.COMPLETE}


def test_promoted_trials_resume_where_they_were_paused() -> None:
    spec = SchedulerSpec(type="promotion", grace_epochs=1, reduction_factor=2)
    done = run([straight(10), straight(20), straight(5), straight(30)], spec)
    assert done.order == [(0, 1), (1, 1), (0, 2), (2, 1), (2, 2), (2, 3), (2, 4), (3, 1)]
    assert {number: trial.epochs_done for number, trial in done.ended.items()} == {0: 2, 1: 1, 2: 4, 3: 1}
    assert (done.worker_seconds, done.wall_seconds, done.best) == (8.0, 8.0, 5)
    assert run([straight(10), straight(20)], SchedulerSpec(type="promotion")).best == 10, "one comes to its end"
