"""What the user sees while a sweep runs."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from sweep.observers import progress as progress_module
from sweep.observers.live_table import MAX_ENDED_ROWS, _style
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from sweep.trial_label import describe
from tests.results_tests.result_samples import make_config, make_epoch
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import Progress, Status


class Clock:
    def __init__(self) -> None:
        self.now = 500.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def make_view(*configs: TrainConfig, terminal: bool = False, num_before: int = 0) -> tuple[SweepView, io.StringIO]:
    """A view of the trials '0', '1', ... and what it prints."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, height=60, color_system=None)
    keys = {str(number): config for number, config in enumerate(configs)}
    return SweepView(console, SweepOutline(name="mine", num_before=num_before), keys), output


def result(epoch: int, error: float, *, replayed: bool = False, speed: float = 50.0) -> Progress:
    record = make_epoch(epoch, error, images_per_second=speed)
    return Progress(record, Status.INCOMPLETE, replayed)


def ended(status: str, error: str | None = None) -> Progress:
    return Progress(None, Status(status), replayed=False, error=error)


def rendered(view: SweepView) -> str:
    output = io.StringIO()
    Console(file=output, width=120, color_system=None).print(view.renderable())
    return output.getvalue()


TWO = (make_config(epochs=4, lr=0.1), make_config(epochs=4, lr=0.2))


def test_a_line_for_every_trial_that_ended(clock: Clock) -> None:
    view, output = make_view(*TWO, num_before=3)
    with view:
        view.on_trial_start("0")
        for epoch, speed in enumerate((1000.0, 3000.0, 2000.0, 2500.0), start=1):
            view.on_progress("0", result(epoch, 10.0 - epoch, speed=speed))
        assert output.getvalue() == ""
        clock.now += 40
        view.on_progress("0", ended("COMPLETE", None))
    expected = "[4/5] lr=0.1: test error 6.00 %, 4 epochs in 10s, 2,250 images/s, about 40s left\n"
    assert output.getvalue() == expected


def test_a_trial_that_failed_says_why(clock: Clock) -> None:
    view, output = make_view(*TWO)
    view.on_trial_start("1")
    view.on_progress("1", ended("FAILED", "out of [bold]memory"))
    assert output.getvalue() == "[1/2] lr=0.2: FAILED: out of [bold]memory, 0 epochs in 0s\n"


def test_a_trial_that_diverged(clock: Clock) -> None:
    view, output = make_view(*TWO)
    view.on_trial_start("0")
    view.on_progress("0", result(1, 90.0))
    view.on_progress("0", ended("DIVERGED", None))
    assert "[1/2] lr=0.1: DIVERGED, 1 epoch in 2s" in output.getvalue()


def test_a_long_line_is_not_broken(clock: Clock) -> None:
    view, output = make_view(*TWO)
    view.on_trial_start("0")
    view.on_progress("0", ended("FAILED", "x" * 500))
    assert output.getvalue().count("\n") == 1


def test_the_table_shows_running_and_ended_trials(clock: Clock) -> None:
    view, _ = make_view(*TWO, make_config(epochs=4, lr=0.3), num_before=1)
    view.on_trial_start("0")
    view.on_trial_start("1")
    view.on_progress("0", result(1, 12.5, speed=1234.0))
    view.on_progress("1", ended("FAILED", "error"))
    lines = rendered(view).splitlines()
    assert lines[0].startswith("mine  2 of 4 trials done  1 waiting  1,234 images/s")
    assert lines[1].split() == ["trial", "epoch", "test", "error", "images/s", "time"]
    assert [line.split() for line in lines[2:]] == [
        ["lr=0.2", "0/4", "-", "-", "0s", "failed"],
        ["lr=0.1", "1/4", "12.50", "%", "1,234", "2s"],
    ]


def test_a_terminal_shows_the_table() -> None:
    view, output = make_view(*TWO, terminal=True)
    with view:
        view.on_trial_start("0")
        view.on_progress("0", result(3, 12.5))
        view.on_progress("1", ended("COMPLETE", None))
    screen = output.getvalue()
    assert "1 of 2 trials done" in screen
    assert "lr=0.1" in screen
    assert "3/4" in screen
    assert "12.50 %" in screen
    assert "[1/2]" not in screen


def test_a_long_list_of_ended_trials_is_cut() -> None:
    configs = [make_config(lr=number) for number in range(1, MAX_ENDED_ROWS + 11)]
    view, _ = make_view(*configs)
    for key in view.trials:
        view.on_trial_start(key)
    for key in list(view.trials)[:-1]:
        view.on_progress(key, ended("COMPLETE", None))
    lines = rendered(view).splitlines()[2:]
    assert [line.split()[0] for line in lines] == [
        f"lr={number}" for number in range(len(configs) - MAX_ENDED_ROWS, len(configs) + 1)
    ]


def test_nothing_is_known_of_the_time_left_before_the_first_epoch(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    view.on_trial_start("0")
    clock.now += 30
    assert view.seconds_left() is None
    assert "starting" in rendered(view)


def test_the_time_left_follows_from_the_epochs_done(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    clock.now += 1000  # until the first trial starts nothing is trained
    view.on_trial_start("0")
    for epoch in (1, 2):
        view.on_progress("0", result(epoch, 10.0))
    clock.now += 10
    assert view.seconds_left() == pytest.approx(30)  # 2 of 8 epochs in 10 s


def test_replayed_epochs_do_not_count_as_work(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    view.on_trial_start("0")
    for epoch in (1, 2, 3):
        view.on_progress("0", result(epoch, 10.0, replayed=True))
    assert view.seconds_left() is None
    view.on_progress("0", result(4, 10.0))
    clock.now += 10
    assert view.seconds_left() == pytest.approx(40)  # 1 of 5 epochs in 10 s


def test_a_trial_that_ended_early_leaves_nothing_to_do(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    view.on_trial_start("0")
    view.on_progress("0", result(1, 90.0))
    view.on_progress("0", ended("DIVERGED", None))
    clock.now += 10
    assert view.seconds_left() == pytest.approx(40)  # 1 of 1 + 4 epochs


def test_a_trial_begun_again_after_its_process_died_is_not_timed_twice(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    view.on_trial_start("0")
    for epoch in (1, 2):
        view.on_progress("0", result(epoch, 10.0))
    view.on_trial_start("0")
    for epoch in (1, 2):
        view.on_progress("0", result(epoch, 10.0, replayed=True))
    view.on_progress("0", result(3, 10.0))
    assert view.trials["0"].seconds == 3 * 2.5


def test_a_result_without_an_epoch_is_passed_over(clock: Clock) -> None:
    view, _ = make_view(*TWO)
    view.on_trial_start("0")
    view.on_progress("0", ended("FAILED"))
    assert view.trials["0"].epochs_done == 0


def test_trials_are_distinguished_by_their_seed_too() -> None:
    view, _ = make_view(make_config(seed=1), make_config(seed=2))
    assert [trial.label for trial in view.trials.values()] == ["seed=1", "seed=2"]


def test_a_single_trial_is_named_by_what_matters() -> None:
    assert describe(make_config(), ["train_subset"]) == "train_subset=null"
    assert describe(make_config(lr=0.1), ["label_smoothing", "lr"]) == "label_smoothing=0 lr=0.1"
    assert describe(make_config(lr=0.1), ["train_subset", "lr"]) == "lr=0.1"
    assert describe(make_config(lr=0.1), []) == "model=resnet_preact_20 batch_size=128 lr=0.1"
    smooth = make_config(lr=0.1, label_smoothing=0.1)
    assert describe(smooth, []) == "model=resnet_preact_20 batch_size=128 lr=0.1 label_smoothing=0.1"


def test_a_process_that_died_is_reported_when_the_trial_resumes(clock: Clock) -> None:
    view, output = make_view(*TWO)
    view.on_trial_start("0")
    view.on_progress("0", result(3, 10.0))
    view.on_trial_start("0")
    assert output.getvalue() == ""
    view.on_progress("0", result(1, 30.0))
    view.on_progress("0", result(2, 20.0))
    assert output.getvalue() == "lr=0.1: its process died at epoch 3, resuming from the last checkpoint\n"


def test_a_trial_that_raised_is_not_reported_as_dead(clock: Clock) -> None:
    view, output = make_view(*TWO)
    view.on_trial_start("0")
    view.on_trial_start("0")
    view.on_progress("0", ended("FAILED", "error"))
    assert "died" not in output.getvalue()


def test_a_search_tells_what_it_has_yet_to_propose_and_that_a_stopped_trial_is_no_error(clock: Clock) -> None:
    output = io.StringIO()
    view = SweepView(
        Console(file=output, width=120, color_system=None),
        SweepOutline(name="wide", num_before=1, num_proposed=3, fields=["lr"]),
        {},
    )
    for number, config in enumerate(TWO):
        view.on_trial_added(PlannedTrial(config, 0, {}))
        assert f"1 of 4 trials done  {number + 1} waiting  {2 - number} to propose  starting" in rendered(view)
    key = TWO[0].trial_key
    view.on_trial_start(key)
    view.on_progress(key, result(1, 12.5))
    assert "left" not in rendered(view)  # what is to come is not known
    view.on_progress(key, ended("STOPPED"))
    assert output.getvalue().startswith("[2/4] lr=0.1: stopped at test error 12.50 %, 1 epoch in 2s")
    assert _style(view.trials[key]) == "dim"


def test_a_paused_trial_is_neither_running_nor_done_until_the_search_ends(clock: Clock) -> None:
    output = io.StringIO()
    outline = SweepOutline(name="wide", num_proposed=2, fields=["lr"])
    view = SweepView(Console(file=output, width=120, color_system=None), outline, {})
    for config in TWO:
        view.on_trial_added(PlannedTrial(config, 0, {}))
    first, second = (config.trial_key for config in TWO)
    view.on_trial_paused(second)  # by an earlier run
    assert output.getvalue() == ""
    view.on_trial_start(first)
    clock.now = 504.0
    view.on_progress(first, result(1, 12.5))
    view.on_trial_paused(first)
    assert output.getvalue() == "lr=0.1: paused after 1 epoch, test error 12.50 %\n"
    assert "wide  0 of 2 trials done  0 waiting  2 paused" in rendered(view)
    assert view.seconds_left() == 0
    view.on_trial_added(PlannedTrial(TWO[0], 0, {}))
    view.on_trial_start(first)
    assert [trial.label for trial in view.running] == ["lr=0.1"]
    view.on_progress(first, result(1, 12.5, replayed=True))
    view.on_progress(first, result(2, 10.0))
    view.on_trial_paused(first)
    for key in (first, second):
        view.on_progress(key, ended("STOPPED"))
    assert output.getvalue().splitlines()[2].startswith("[1/2] lr=0.1: stopped at test error 10.00 %, 2 epochs in")
    assert output.getvalue().splitlines()[3] == "[2/2] lr=0.2: stopped early"


def test_a_trial_that_an_earlier_run_had_stopped_is_counted_once_when_it_is_promoted(clock: Clock) -> None:
    outline = SweepOutline(
        name="wide", num_before=3, num_proposed=2, stopped_before=frozenset([TWO[0].trial_key, "another"])
    )
    view = SweepView(Console(file=io.StringIO(), width=120, color_system=None), outline, {})
    assert (view.num_done, view.num_trials, view.num_to_propose) == (3, 5, 2)
    view.on_trial_added(PlannedTrial(TWO[0], 0, {}))
    assert (view.num_done, view.num_trials, view.num_to_propose) == (2, 5, 2)
    view.on_trial_added(PlannedTrial(TWO[1], 0, {}))
    for config in TWO:
        view.on_trial_start(config.trial_key)
        view.on_progress(config.trial_key, ended("COMPLETE"))
    assert (view.num_done, view.num_trials, view.num_to_propose) == (4, 5, 1)


SEARCHED = make_config(epochs=4, lr=0.05, batch_size=64, holdout=0.1)


def test_a_search_shows_its_parameters_and_its_objective(clock: Clock) -> None:
    output = io.StringIO()
    console = Console(file=output, width=120, color_system=None)
    fields, metrics = ["base_lr", "batch_size"], ["holdout_loss", "train_seconds"]
    view = SweepView(console, SweepOutline(name="wide", num_proposed=1, fields=fields, metrics=metrics), {})
    view.on_trial_added(PlannedTrial(SEARCHED, 0, {"base_lr": 0.1, "published_batch_size": 256}))
    key = SEARCHED.trial_key
    view.on_trial_start(key)
    record = make_epoch(1, 9.0, holdout_error_percent=12.5, holdout_loss=0.51239)
    view.on_progress(key, Progress(record, Status.INCOMPLETE, replayed=False))
    header, row = rendered(view).splitlines()[1:]
    assert header.split() == ["trial", "epoch", "holdout", "error", "holdout", "loss", "images/s", "time"]
    assert row.split() == ["base_lr=0.1", "bs=64", "1/4", "12.50", "%", "0.5124", "50", "2s"]
    view.on_progress(key, ended("STOPPED"))
    assert output.getvalue().startswith(
        "[1/1] base_lr=0.1 batch_size=64: stopped at holdout error 12.50 %, loss 0.5124, 1 epoch in 2s"
    )


def test_what_confirms_a_search_is_named_by_what_was_searched_and_its_seed(clock: Clock) -> None:
    configs = {config.trial_key: config for config in (make_config(lr=0.05, seed=seed) for seed in (0, 1))}
    variables = {key: {"base_lr": 0.1} for key in configs}
    view = SweepView(Console(), SweepOutline(name="wide", fields=["base_lr"]), configs, variables)
    assert [trial.label for trial in view.trials.values()] == ["base_lr=0.1 seed=0", "base_lr=0.1 seed=1"]
