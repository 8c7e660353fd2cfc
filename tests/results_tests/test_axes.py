"""Which fields vary, on which scale, and which of them matter most."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from results.parquet.axes import Axis, ranked_axes, varying_axes
from results.parquet.search_results import Parameter
from results.parquet.trials import Trial, group_repeats
from tests.results_tests.result_samples import make_config, make_trial
from trainable.config import TrainConfig


def configs(**fields: list[Any]) -> list[TrainConfig]:
    """The product of the values of the fields, in the order of a grid."""
    found: list[dict[str, Any]] = [{}]
    for name, values in fields.items():
        found = [{**chosen, name: value} for chosen in found for value in values]
    return [make_config(**chosen) for chosen in found]


@pytest.mark.parametrize(
    ("name", "values", "is_log"),
    [
        ("weight_decay", [1e-3, 1e-5, 1e-4], True),
        ("weight_decay", [0.0, 1e-4, 1e-3], False),
        ("weight_decay", [2e-4, 5e-4, 1e-4, 1e-3], True),
        ("weight_decay", [1e-4, 2e-4], False),
        ("weight_decay", [1e-4, 1e-3], True),
        ("epochs", [200, 100, 1000, 400], True),
        ("epochs", [10, 20, 30], False),
        ("momentum", [0.99, 0.9, 0.95], False),
        ("lr", [0.1, 0.3, 0.2], True),
        ("batch_size", [1024, 64, 128], True),
    ],
)
def test_numbers_rise_and_their_spacing_tells_the_scale(name: str, values: list[float], is_log: bool) -> None:
    (axis,) = varying_axes(configs(**{name: values}))
    assert (axis.name, axis.values, axis.is_number, axis.is_log) == (name, tuple(sorted(values)), True, is_log)


def test_words_are_categories_in_the_order_of_the_space() -> None:
    (axis,) = varying_axes(configs(optimizer=["sgd", "muon", "adamw"]))
    assert (axis.values, axis.is_number, axis.is_log) == (("sgd", "muon", "adamw"), False, False)
    assert [axis.text(value) for value in axis.values] == ["SGD", "Muon", "AdamW"]
    (axis,) = varying_axes(
        configs(optimizer=["muon", "sgd"]), [Parameter("optimizer", choices=("sgd", "lars", "muon"))]
    )
    assert axis.values == ("sgd", "muon")


def test_truth_values_are_words_and_none_is_zero_or_the_last() -> None:
    (axis,) = varying_axes(configs(nesterov=[True, False]))
    assert (axis.values, axis.is_number, [axis.text(value) for value in axis.values]) == (
        (False, True),
        False,
        ["false", "true"],
    )
    (axis,) = varying_axes(configs(warmup_epochs=[10, None, 5]))
    assert (axis.values, axis.is_number) == ((0, 5, 10), True)
    assert [axis.value(config) for config in configs(warmup_epochs=[None, 5])] == [0, 5]
    (axis,) = varying_axes(configs(ghost_batch_size=[None, 64, 16]))
    assert (axis.values, axis.is_number, axis.text(None)) == ((16, 64, None), False, "whole batch")


def test_a_range_tells_its_scale() -> None:
    values = [0.1, 0.11, 0.5]
    for log in (True, False):
        (axis,) = varying_axes(configs(weight_decay=values), [Parameter("weight_decay", 0.01, 1.0, log)])
        assert axis.is_log is log


def test_what_another_field_tells_is_no_axis() -> None:
    found = configs(schedule=["cosine", "multistep"], optimizer=["sgd", "lars"])
    assert len({(config.milestones, config.nesterov) for config in found}) == 4
    assert [axis.name for axis in varying_axes(found)] == ["schedule", "optimizer"]
    assert varying_axes([]) == varying_axes([make_config(seed=1), make_config(seed=2)]) == []


def names_of(errors: Mapping[TrainConfig, float | None]) -> list[str]:
    return [axis.name for axis in ranked_axes(errors.items())]


def test_the_field_that_explains_most_comes_first() -> None:
    found = configs(lr=[0.1, 0.2, 0.4], weight_decay=[1e-4, 1e-3, 1e-2])
    assert names_of({config: 8 + 100 * config.weight_decay + config.lr for config in found}) == ["weight_decay", "lr"]
    assert names_of({config: 8 + config.weight_decay + config.lr for config in found}) == ["lr", "weight_decay"]
    assert names_of(dict.fromkeys(found)) == ["lr", "weight_decay"]
    diverged = {config: math.nan if config.lr == 0.4 else 8 + config.weight_decay for config in found}
    assert names_of(diverged) == ["weight_decay", "lr"]


def test_batch_size_and_lr_come_first_where_both_vary() -> None:
    found = configs(weight_decay=[1e-4, 1e-3], lr=[0.1, 0.2], batch_size=[32, 64])
    assert names_of({config: config.weight_decay for config in found}) == ["batch_size", "lr", "weight_decay"]
    found = configs(weight_decay=[1e-4, 1e-3], batch_size=[32, 64])
    assert names_of({config: config.weight_decay for config in found}) == ["weight_decay", "batch_size"]


def test_values_drawn_from_a_range_do_not_win_by_being_many() -> None:
    """Every lr is another one and so would explain everything; the schedule does in truth."""
    found = [
        make_config(lr=0.01 * (1 + index), schedule=("cosine", "linear")[index % 2], momentum=0.5 + 0.01 * index)
        for index in range(20)
    ]
    errors: dict[TrainConfig, float | None] = {config: 8.0 + (config.schedule == "linear") for config in found}
    assert names_of(errors)[0] == "schedule"
    errors = {config: 10 * config.momentum for config in found}
    assert names_of(errors)[-1] == "schedule"


def test_every_repeat_counts() -> None:
    """Four means alone would say nothing: `lr` would come first."""

    def trials(num_seeds: int) -> list[Trial]:
        fields = [(lr, epochs, seed) for lr in (0.1, 0.2) for epochs in (20, 10) for seed in range(num_seeds)]
        return [
            make_trial(make_config(lr=lr, epochs=epochs, seed=seed), 100 / epochs + 30 * lr + 0.1 * seed)
            for lr, epochs, seed in fields
        ]

    assert [axis.name for axis in ranked_axes(group_repeats(trials(1)))] == ["lr", "epochs"]
    axes = ranked_axes(group_repeats([*trials(3), make_trial(make_config(lr=0.4, epochs=10), None)]))
    assert [(axis.name, axis.values, axis.label) for axis in axes] == [
        ("epochs", (10, 20), "number of epochs"),
        ("lr", (0.1, 0.2, 0.4), "initial learning rate"),
    ]


def test_an_argument_of_a_model_keeps_its_name() -> None:
    assert Axis("model_args.num_blocks", (1, 2), is_number=True, is_log=False).label == "model_args.num_blocks"
