"""Tying a configuration to the data set that it is trained on."""

import pytest

from trainable.config import TrainConfig
from trainable.errors import UserError


def tie(config: TrainConfig, num_train: int = 1000, num_test: int = 200) -> TrainConfig:
    return config.for_dataset("digits", "f" * 16, num_train, num_test)


def test_name_and_fingerprint_enter_the_key() -> None:
    config = TrainConfig(dataset="cifar10")
    tied = tie(config)
    assert (tied.dataset, tied.dataset_fingerprint) == ("digits", "f" * 16)
    assert tied.trial_key != config.trial_key


def test_a_subset_of_everything_is_no_subset() -> None:
    tied = tie(TrainConfig(train_subset=1000, test_subset=200))
    assert tied == tie(TrainConfig())
    assert (tied.train_subset, tied.test_subset) == (None, None)


def test_a_true_subset_stays() -> None:
    tied = tie(TrainConfig(train_subset=999, test_subset=199))
    assert (tied.train_subset, tied.test_subset) == (999, 199)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(train_subset=1001), "train_subset 1001 is larger than the 1000 images of 'digits'"),
        (TrainConfig(test_subset=201), "test_subset 201 is larger than the 200 images of 'digits'"),
        (TrainConfig(batch_size=1001), "batch_size 1001 is larger than the 1000 training images"),
        (TrainConfig(batch_size=101, train_subset=100), "batch_size 101 is larger than the 100 training images"),
        (TrainConfig(batch_size=501, holdout=0.5), "batch_size 501 is larger than the 500 training images"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(config: TrainConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tie(config)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(batch_size=1000),
        TrainConfig(batch_size=500, holdout=0.5),
        TrainConfig(batch_size=900, holdout=0.1),
    ],
)
def test_one_batch_an_epoch_is_enough(config: TrainConfig) -> None:
    assert tie(config).batch_size == config.batch_size
