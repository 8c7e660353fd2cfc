"""The live table in terminals of 80 and 40 columns."""

import io
import itertools

import pytest
from rich.console import Console

from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from sweep.trial_label import short_label
from tests.results_tests.result_samples import make_config, make_epoch
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import Progress, Status

VARIED = [
    make_config(lr=lr, batch_size=size, weight_decay=decay, seed=seed, epochs=200)
    for lr, size, decay, seed in itertools.product((0.1, 0.05), (128, 1024), (5e-4, 1e-4), (0, 1))
]
LONG_NAMES = {"learning_rate_per_128_images": 0.123456, "warmup_fraction_of_all_steps": 0.05}


def view_of(width: int, height: int, configs: list[TrainConfig], outline: SweepOutline) -> SweepView:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    return SweepView(console, outline, {str(number): config for number, config in enumerate(configs)})


def progressed(width: int, height: int = 24, name: str = "mine") -> SweepView:
    """Fourteen trials have ended, two of them badly, and two run."""
    view = view_of(width, height, VARIED, SweepOutline(name=name))
    for number in range(len(VARIED)):
        view.on_trial_start(str(number))
        record = make_epoch(12, 12.5, images_per_second=12345.0)
        view.on_progress(str(number), Progress(record, Status.INCOMPLETE, replayed=False))
        ends = {10: Status.FAILED, 11: Status.DIVERGED}
        if number < 14:
            view.on_progress(str(number), Progress(None, ends.get(number, Status.COMPLETE), replayed=False))
    return view


def lines_of(view: SweepView, width: int) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(view.renderable())
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_eighty_columns_show_everything() -> None:
    lines = lines_of(progressed(80), 80)
    assert lines[0].startswith("mine  14 of 16 trials done  0 waiting  24,690 images/s  about ")
    assert lines[1] == "trial                         epoch  test error  images/s    time"
    figures = ["12/200", "12.50", "%", "12,345", "2s"]
    assert lines[-4].split() == ["bs=1024", "lr=0.05", "wd=5e-4", "s0", *figures, "complete"]
    assert lines[-5].split()[-1] == "diverged"
    assert lines[-1].split() == ["bs=1024", "lr=0.05", "wd=1e-4", "s1", *figures]


def test_forty_columns_show_every_value_and_the_error() -> None:
    view = progressed(40)
    lines = lines_of(view, 40)
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].startswith("mine  14 of 16 ")
    assert lines[1].split() == ["trial", "epoch", "err", "%"]
    assert lines[-1].split() == ["bs=1024", "lr=0.05", "wd=1e-4", "s1", "12/200", "12.50"]
    text = "\n".join(lines)
    assert "div" in text
    assert "fail" in text


@pytest.mark.parametrize("width", [80, 60, 50, 40, 20])
def test_values_are_never_cut(width: int) -> None:
    view = progressed(width, height=60)
    words = " ".join(lines_of(view, width)).split()
    for trial in [*view.ended[-12:], *view.running]:
        assert set(trial.short_label.split()) <= set(words)


def test_rates_and_times_go_first_when_space_ends() -> None:
    headers = {width: lines_of(progressed(width), width)[1].split() for width in (77, 69, 60, 50)}
    assert [("images/s" in header, "time" in header) for header in headers.values()] == [
        (True, True),
        (False, True),
        (False, False),
        (False, False),
    ]
    assert all("error" in header and "epoch" in header for header in headers.values())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 8), (40, 12), (30, 10)])
def test_the_table_fits_the_screen_and_shows_what_runs(width: int, height: int) -> None:
    view = progressed(width, height, name="a_sweep_with_quite_a_long_name")
    lines = lines_of(view, width)
    assert len(lines) < height
    assert sum(trial.short_label.split()[-1] in lines[-1].split() for trial in view.running) == 1


def test_a_search_with_long_names_fits_too() -> None:
    outline = SweepOutline(
        name="search", num_proposed=3, fields=[*LONG_NAMES, "batch_size"], metrics=["holdout_loss"]
    )
    config = make_config(holdout=0.1, batch_size=64, epochs=30)
    for width in (80, 40):
        view = view_of(width, 24, [], outline)
        view.on_trial_added(PlannedTrial(config, 0, LONG_NAMES))
        view.on_trial_start(config.trial_key)
        record = make_epoch(1, 9.0, holdout_error_percent=12.5, holdout_loss=0.5)
        view.on_progress(config.trial_key, Progress(record, Status.INCOMPLETE, replayed=False))
        lines = lines_of(view, width)
        assert all(len(line) <= width for line in lines)
        words = " ".join(lines).split()
        assert {"lrp1i=0.1235", "wfoas=0.05", "bs=64", "1/30", "12.50"} <= set(words)
        assert ("0.5000" in words) == (width == 80)


def test_short_labels() -> None:
    config = make_config(weight_decay=5e-4, seed=1, lr=0.1, batch_size=128, schedule="cosine", train_subset=512)
    assert short_label(config, ["weight_decay", "seed", "lr", "batch_size"]) == "wd=5e-4 s1 lr=0.1 bs=128"
    assert short_label(config, []) == "resnet_preact_20 bs=128 lr=0.1 wd=5e-4"
    assert short_label(make_config(), ["train_subset"]) == "ts=null"
    assert short_label(config, ["schedule", "lr"]) == "cosine lr=0.1"
    both = make_config(train_subset=512, test_subset=100)
    assert short_label(both, ["train_subset", "test_subset"]) == "train_subset=512 test_subset=100"
    assert [short_label(make_config(lr=lr), ["lr"]) for lr in (0.05, 0.001, 0.00125, 0.123456, 1e-5)] == [
        "lr=0.05",
        "lr=1e-3",
        "lr=0.00125",
        "lr=0.1235",
        "lr=1e-5",
    ]
