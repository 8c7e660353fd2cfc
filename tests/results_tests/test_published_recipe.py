"""Where a training departs from the published recipe."""

import pytest

from results.published.recipe import departures, published_recipe
from tests.results_tests.result_samples import make_config


@pytest.mark.parametrize("schedule", ["cosine", "multistep"])
def test_the_recipe_itself_does_not_depart(schedule: str) -> None:
    assert departures(make_config(schedule=schedule, epochs=160), published_recipe()) == []


def test_milestones_written_as_epochs_are_the_published_ones() -> None:
    config = make_config(schedule="multistep", epochs=160, milestones=[80, 120])
    assert departures(config, published_recipe()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dataset": "digits"}, "dataset digits instead of cifar10"),
        ({"train_subset": 10_000}, "train_subset 10000 instead of all"),
        ({"test_subset": 2000}, "test_subset 2000 instead of all"),
        ({"holdout": 0.1}, "holdout 0.1 instead of 0"),
        ({"augmentation": "none"}, "augmentation none instead of crop_flip"),
        ({"momentum": 0.5}, "momentum 0.5 instead of 0.9"),
        ({"nesterov": False}, "nesterov False instead of True"),
        ({"weight_decay": 0.0}, "weight_decay 0 instead of 0.0001"),
        ({"lr_min_factor": 0.0}, "lr_min_factor 0 instead of 0.001"),
        ({"schedule": "multistep", "milestones": [0.3, 0.6]}, "milestones 0.3 0.6 instead of 0.5 0.75"),
    ],
)
def test_what_departs_is_named(changes: dict[str, object], text: str) -> None:
    assert [str(departure) for departure in departures(make_config(**changes), published_recipe())] == [text]
