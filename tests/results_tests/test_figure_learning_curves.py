"""Curves from the epochs of a sweep."""

import math

import numpy as np

from results.figures.learning_curves import (
    MOST_SHARED,
    ROWS_PER_PAGE,
    LearningCurve,
    curves_of,
    draw_learning_curves,
    learning_curves,
    mean_curve,
)
from results.parquet.trials import group_repeats
from tests.results_tests.figure_samples import overlaps
from tests.results_tests.result_samples import make_config, make_epoch, make_trial

CONFIGS = [make_config(lr=lr, seed=seed, epochs=2) for lr in (0.2, 0.1) for seed in (0, 1)]
CELLS = group_repeats(make_trial(config, 8.0) for config in CONFIGS)
EPOCHS = {
    config.trial_key: [make_epoch(1, 20.0 + 2 * config.seed), make_epoch(2, 10.0 - 2 * config.seed)]
    for config in CONFIGS
}


def test_a_panel_a_configuration_with_all_repeats() -> None:
    first, second = learning_curves(CELLS, EPOCHS, "mine")
    assert [first.label, second.label] == ["batch size 128, lr 0.1, 2 runs", "batch size 128, lr 0.2, 2 runs"]
    assert [curve.errors for curve in first.runs if curve.split == "test"] == [[20.0, 10.0], [22.0, 8.0]]
    (mean,) = [curve for curve in first.means if curve.split == "test"]
    assert (mean.epochs, mean.errors, mean.losses) == ([1, 2], [21.0, 9.0], [1.5, 1.5])


def test_configurations_without_an_epoch_have_no_panel() -> None:
    assert learning_curves(CELLS, {}, "mine") == []


def test_unknown_values_are_gaps_and_held_out_images_a_curve() -> None:
    train, test = curves_of([make_epoch(2, None), make_epoch(1, 30.0)])
    assert (train.split, test.split, test.epochs) == ("train", "test", [1, 2])
    assert test.errors[0] == 30.0
    assert math.isnan(test.errors[1])
    assert [
        curve.split for curve in curves_of([make_epoch(1, 9.0, holdout_error_percent=8.0, holdout_loss=0.3)])
    ] == [
        "train",
        "test",
        "holdout",
    ]


def test_the_mean_ends_with_the_shortest_run() -> None:
    mean = mean_curve(
        [LearningCurve("test", [1, 2], [4.0, 2.0], [1.0, 1.0]), LearningCurve("test", [1], [8.0], [2.0])]
    )
    assert mean == LearningCurve("test", [1], [6.0], [1.5])


def test_many_configurations_make_pages_on_which_nothing_overlaps() -> None:
    configs = [make_config(lr=0.1 * (n + 1), epochs=160) for n in range(MOST_SHARED + 1)]
    epochs = {c.trial_key: [make_epoch(n, 90.0 / n) for n in range(1, 161)] for c in configs}
    cells = group_repeats(make_trial(config, 8.0) for config in configs)
    pages = list(draw_learning_curves(learning_curves(cells, epochs, "mine"), "a title"))
    assert [len(page.axes) for page in pages] == [2 * ROWS_PER_PAGE, 2 * ROWS_PER_PAGE, 4]
    assert [overlaps(page) for page in pages] == [[], [], []]


def test_splits_are_distinguishable_without_colour() -> None:
    (page,) = draw_learning_curves(learning_curves(CELLS[:1], EPOCHS, "mine"), "title")
    legend = page.legends[0].get_lines()
    assert len({(line.get_linestyle(), line.get_marker()) for line in legend}) == 3


def test_a_few_configurations_share_a_panel() -> None:
    """Rows of test and train, columns of error and loss: a thick mean and a thin line per run."""
    (page,) = draw_learning_curves(learning_curves(CELLS, EPOCHS, "mine"), "title")
    *panels, legend = page.axes
    assert [axes.get_ylabel() for axes in panels] == [
        *("test error (%)", "test loss (nats)"),
        *("train error (%)", "train loss (nats)"),
    ]
    means = [line for line in panels[0].lines if line.get_linewidth() > 1]
    assert [np.asarray(line.get_ydata()).tolist() for line in means] == [[21.0, 9.0], [21.0, 9.0]]
    assert len({(line.get_color(), line.get_marker()) for line in means}) == 2
    thin = [np.asarray(line.get_ydata()).tolist() for line in panels[0].lines if line not in means]
    assert thin == [[20.0, 10.0], [22.0, 8.0]] * 2
    entries = legend.get_legend()
    assert entries is not None
    assert [text.get_text() for text in entries.get_texts()] == [
        *("batch size 128, lr 0.1, 2 runs", "batch size 128, lr 0.2, 2 runs"),
        "single runs (thick line: mean)",
    ]
    assert overlaps(page) == []


def test_a_run_that_diverged_is_a_cross_at_the_edge_and_counts_neither_for_the_mean_nor_for_the_scale() -> None:
    trials = [make_trial(CONFIGS[0], 8.0), make_trial(CONFIGS[1], None, status="DIVERGED")]
    records = {**EPOCHS, CONFIGS[1].trial_key: [make_epoch(1, 90.0, train_loss=1e20, test_loss=None)]}
    (panel,) = learning_curves(group_repeats(trials), records, "mine")
    assert panel.label == "batch size 128, lr 0.2, 2 runs, 1 diverged"
    assert [mean.epochs for mean in panel.means] == [[1, 2], [1, 2]]
    (page,) = draw_learning_curves([panel], "title")
    losses = page.axes[1]
    assert losses.get_ylim()[1] < 2.0
    assert [np.asarray(line.get_xdata()).tolist() for line in losses.lines if line.get_marker() == "x"] == [[1], [1]]
    assert "diverged" in [text.get_text() for text in page.legends[0].get_texts()]


def test_all_diverged_is_drawn() -> None:
    records = {CONFIGS[0].trial_key: [make_epoch(1, None, train_loss=None, train_error_percent=None, test_loss=None)]}
    (page,) = draw_learning_curves(learning_curves(CELLS, records, "mine"), "title")
    assert overlaps(page) == []
