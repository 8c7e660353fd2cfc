"""Published rows and sweeps as points of one kind."""

import itertools
import statistics

from results.figures.error_by_lr import error_by_lr
from results.figures.heat_map import heat_maps
from results.figures.points import (
    PUBLISHED_DATASET,
    Source,
    bars_line,
    distinguishing_words,
    published_point,
    published_points,
    sweep_points,
    title,
)
from results.parquet.trials import group_repeats, variants
from results.published.cells import table_cells
from tests.results_tests.figure_samples import make_point
from tests.results_tests.result_samples import make_config, make_trial


def test_a_published_row() -> None:
    point = published_point(next(cell for cell in table_cells("linear_scaling_cosine") if cell.batch_size == 8))
    assert (point.source, point.origin, point.dataset) == (Source.PUBLISHED, "published", PUBLISHED_DATASET)
    assert (point.model, point.batch_size, point.lr, point.schedule) == ("resnet_preact_20", 8, 0.006125, "cosine")
    assert (point.epochs, point.errors, point.hours) == (200, (7.70,), 152 / 60)
    assert point.hardware == "GeForce GTX 1080 Ti"


def test_a_run_that_two_tables_print_is_one_point() -> None:
    """Batch size 128, lr 0.1: 8.09 in 24 minutes, in three tables."""
    same = [p for p in published_points() if (p.batch_size, p.lr, p.epochs, p.schedule) == (128, 0.1, 200, "cosine")]
    assert [(point.errors, point.hours) for point in same] == [((8.09,), 0.4)]


def test_different_runs_of_one_configuration_stay_apart() -> None:
    """Batch size 2048, lr 1.6: 8.87 under the linear rule, 8.73 in the table of the initial lr."""
    same = [p for p in published_points() if (p.batch_size, p.lr, p.epochs, p.schedule) == (2048, 1.6, 200, "cosine")]
    assert sorted(point.error for point in same) == [8.73, 8.87]


def test_a_cell_with_repeats() -> None:
    runs = [(0, 8.0, 3600.0), (1, 9.0, 7200.0), (2, None, 1.0)]
    cells = group_repeats(
        make_trial(
            make_config(lr=0.2, seed=seed),
            error,
            status="DIVERGED" if error is None else "COMPLETE",
            total_seconds=seconds,
        )
        for seed, error, seconds in runs
    )
    (point,) = sweep_points(cells, "mine")
    assert (point.source, point.origin, point.lr) == (Source.OURS, "mine", 0.2)
    assert (point.errors, point.error, point.hours) == ((8.0, 9.0), 8.5, 1.5)
    assert point.hardware == "a processor"
    assert point.other == ()


def test_a_cell_without_a_finished_run() -> None:
    (point,) = sweep_points(group_repeats([make_trial(make_config(), None, status="DIVERGED")]), "mine")
    assert (point.errors, point.hours) == ((), None)


def test_other_fields_that_differ_are_kept_unless_they_follow_from_the_schedule() -> None:
    configs = [make_config(weight_decay=decay, schedule=s) for decay in (0.0, 1e-4) for s in ("cosine", "multistep")]
    points = sweep_points(group_repeats(make_trial(config, 8.0) for config in configs), "mine")
    assert {point.other for point in points} == {(("weight_decay", 0.0),), (("weight_decay", 1e-4),)}


def test_a_field_that_is_none_has_no_word() -> None:
    """Long legends are cut: `warmup_epochs None` would take the place of what tells the lines apart."""
    configs = [make_config(**fields) for fields in ({}, {"warmup_epochs": 5}, {"cutout_size": 8})]
    points = sweep_points(group_repeats(make_trial(config, 8.0) for config in configs), "mine")
    words = [distinguishing_words(point, points) for point in points]
    assert words == [[], ["warmup_epochs 5"], ["cutout_size 8"]]


def test_the_title_has_a_line_a_source_with_what_its_points_share() -> None:
    ours = [make_point(epochs=10), make_point(epochs=20, lr=0.2)]
    published = make_point(source=Source.PUBLISHED, origin="published", model="resnet_110", schedule="multistep")
    assert title(ours) == "mine, ResNet-preact-20, cifar10, cosine"
    assert title([*ours, published]).split("\n") == [
        "published, ResNet-110, cifar10, multistep, 200 epochs",
        "mine, ResNet-preact-20, cifar10, cosine",
    ]


def test_the_mean_of_equal_errors_lies_among_them() -> None:
    """3 of 355 images wrong three times: fmean is another number, and an error bar of less than nothing."""
    error = 100 * 3 / 355
    assert statistics.fmean([error] * 3) != error
    assert make_point(errors=(error,) * 3).error == error


def test_of_several_settings_only_those_that_are_no_default_are_words() -> None:
    changes: list[dict[str, object]] = [
        {"optimizer": "lars"},
        {"ghost_batch_size": 32},
        {"weight_decay_on": "no_bn"},
        {"weight_decay": 5e-4},
        {"optimizer": "adamw"},
        {"optimizer": "adamw", "betas": [0.9, 0.95], "label_smoothing": 0.1},
        {"schedule": "linear", "weight_decay": 0.0},
        {},
    ]
    cells = group_repeats(make_trial(make_config(**change), 8.0) for change in changes)
    points = sweep_points(cells, "mine")
    assert [distinguishing_words(point, points) for point in points] == [
        ["LARS"],
        ["ghost batch size 32"],
        ["no weight decay on BN"],
        ["weight decay 0.0005"],
        ["AdamW"],
        ["AdamW", "betas 0.9 0.95", "label_smoothing 0.1"],
        ["linear", "weight decay 0"],
        [],
    ]
    assert [line.label for line in error_by_lr(points)].count("baseline") == 1
    labels = [panel.label for panel in heat_maps(points)]
    assert {"mine, linear, weight decay 0", "mine, baseline"} < {*labels}


def test_a_setting_that_differs_alone_has_words_for_all_its_values() -> None:
    cells = group_repeats(make_trial(make_config(optimizer=name), 8.0) for name in ("sgd", "adamw", "muon"))
    points = sweep_points(cells, "mine")
    assert [distinguishing_words(point, points) for point in points] == [["SGD"], ["AdamW"], ["Muon"]]


def test_a_grid_names_the_defaults_of_the_program_too() -> None:
    """Label smoothing 0 and augmentation crop_flip, the defaults, were not to be read."""
    fields = itertools.product(("none", "crop", "crop_flip"), (0.0, 0.1))
    configs = [make_config(augmentation=augmentation, label_smoothing=smooth) for augmentation, smooth in fields]
    cells = group_repeats(make_trial(config, 8.0 + number) for number, config in enumerate(configs))
    for kept in (cells, cells[:-1]):  # one is still to come
        points = sweep_points(kept, "mine")
        labels = [line.label for line in error_by_lr(points)]
        assert "label_smoothing 0, augmentation crop_flip" in [
            ", ".join(distinguishing_words(point, points)) for point in points
        ]
        assert not {"", "128", "baseline"} & {*labels}
    assert variants(configs, ())[-2:] == [
        "label_smoothing 0, augmentation crop_flip",
        "label_smoothing 0.1, augmentation crop_flip",
    ]
    limits = [make_config(clip_grad_norm=norm) for norm in (None, 1.0)]
    points = sweep_points(group_repeats(make_trial(config, 8.0) for config in limits), "mine")
    assert [distinguishing_words(point, points) for point in points] == [
        ["clip_grad_norm no limit"],
        ["clip_grad_norm 1"],
    ]


def test_a_title_names_what_the_whole_sweep_departs_in() -> None:
    recipe: dict[str, object] = {"optimizer": "adamw", "label_smoothing": 0.1, "precision": "fp32"}
    cells = group_repeats(make_trial(make_config(lr=lr, **recipe), 8.0) for lr in (0.001, 0.002))
    assert title(sweep_points(cells, "mine")) == (
        "mine, ResNet-preact-20, cifar10, cosine, 200 epochs, AdamW, label_smoothing 0.1"
    )


def test_error_bars_are_explained() -> None:
    once, twice, thrice = (make_point(errors=errors) for errors in ((8.0,), (8.0, 9.0), (8.0, 9.0, 7.0)))
    assert bars_line([once, make_point(errors=(8.0, 8.0))]) == "\nmeans of 1 to 2 runs"
    assert bars_line([twice, twice]) == "\nmeans of 2 runs; error bars: from the lowest to the highest"
    assert "of 1 to 3 runs; error bars" in bars_line([once, twice, thrice])
    assert bars_line([once, once]) == ""
