"""`--set` and the configuration of `train`."""

import pytest

from search_spaces.expansion import parse_config, parse_overrides
from trainable.config import TrainConfig
from trainable.errors import UserError


def test_values_are_read_as_yaml() -> None:
    assert parse_overrides(["lr=1e-3", "epochs=2", "schedule=cosine", "nesterov=false", "milestones=[1, 2]"]) == {
        "lr": 0.001,
        "epochs": 2,
        "schedule": "cosine",
        "nesterov": False,
        "milestones": [1, 2],
    }


def test_the_last_of_two_wins() -> None:
    assert parse_overrides(["lr=1", "lr=2"]) == {"lr": 2}


def test_null_and_space_and_further_equals() -> None:
    assert parse_overrides(["train_subset=null", "lr =3", "model=a=b"]) == {
        "train_subset": None,
        "lr": 3,
        "model": "a=b",
    }


@pytest.mark.parametrize("setting", ["lr", "=3", "", "lr:3"])
def test_not_key_and_value(setting: str) -> None:
    with pytest.raises(UserError, match="write key=value, for example --set epochs=2"):
        parse_overrides([setting])


def test_a_value_that_is_no_yaml() -> None:
    with pytest.raises(UserError, match="cannot read the value"):
        parse_overrides(["lr=[1"])


def test_a_config_from_the_command_line() -> None:
    config = parse_config("resnet_20", ["lr=0.3", "epochs=4"])
    assert config == TrainConfig(model="resnet_20", lr=0.3, epochs=4)


def test_a_config_without_settings_has_the_defaults() -> None:
    assert parse_config("resnet_preact_20", []) == TrainConfig()


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("resnet_20", ["lr=-1"], "--set: lr must be greater than 0, got -1"),
        ("resnet_20", ["lrr=1"], "--set: unknown key 'lrr': did you mean 'lr'?"),
        ("resnet_20", ["recipe_version=2"], "'recipe_version' is computed by the program and cannot be set"),
        ("resnet_20", ["lr=[1]"], "--set: lr must be a number, got [1]"),
        ("resnet_21", [], "try resnet_20"),
        ("vgg_20", [], "unknown model 'vgg_20'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(model: str, settings: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(model, settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
