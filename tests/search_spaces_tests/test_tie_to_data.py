"""Trials get the identity of their data set."""

from pathlib import Path

import pytest

from search_spaces.expansion import dataset_name, tie_to_data
from tests.search_spaces_tests.space_samples import expand_text
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError


def planned(config: TrainConfig) -> PlannedTrial:
    return PlannedTrial(config, 0, {"base_lr": 0.1})


def test_name_and_fingerprint_are_taken_over() -> None:
    (tied,) = tie_to_data([planned(TrainConfig())], "mine", "abcd", 1000, 100)
    assert (tied.config.dataset, tied.config.dataset_fingerprint) == ("mine", "abcd")
    assert (tied.repeat, tied.variables) == (0, {"base_lr": 0.1})


def test_a_subset_of_the_whole_size_is_the_whole() -> None:
    trials = [
        planned(TrainConfig()),
        planned(TrainConfig(train_subset=1000)),
        planned(TrainConfig(train_subset=1000, test_subset=100)),
        planned(TrainConfig(train_subset=999)),
    ]
    tied = tie_to_data(trials, "digits", "abcd", 1000, 100)
    assert [trial.config.train_subset for trial in tied] == [None, 999]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(train_subset=1001), "train_subset 1001 is larger than the 1000 images"),
        (TrainConfig(test_subset=101), "test_subset 101 is larger than the 100 images"),
        (TrainConfig(batch_size=1001), "batch_size 1001 is larger than the 1000 training images"),
        (TrainConfig(batch_size=501, holdout=0.5), "batch_size 501 is larger than the 500 training images"),
    ],
)
def test_more_than_there_is(config: TrainConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tie_to_data([planned(config)], "digits", "abcd", 1000, 100)


def test_the_largest_batch() -> None:
    assert tie_to_data([planned(TrainConfig(batch_size=500, holdout=0.5))], "digits", "abcd", 1000, 100)


def test_one_data_set() -> None:
    assert dataset_name([planned(TrainConfig(dataset="cifar10"))] * 2) == "cifar10"


def test_several_data_sets_are_refused() -> None:
    trials = [planned(TrainConfig(dataset=name)) for name in ("digits", "cifar10")]
    with pytest.raises(UserError, match="cifar10 and digits"):
        dataset_name(trials)


def test_what_does_not_fit_the_data_is_named_where_it_is_written(tmp_path: Path) -> None:
    text = "grid: {lr: [0.1]}\nrows:\n  - {batch_size: 8}\n  - {batch_size: 64}\nrepeats: 2\n"
    trials = expand_text(tmp_path, text).trials
    with pytest.raises(UserError) as caught:
        tie_to_data(trials[:4], "mine", "abcd", 50, 10)
    message = str(caught.value).replace(str(tmp_path / "space.yaml"), "FILE")
    assert message.startswith("FILE:4: rows[1].batch_size: batch_size 64 is larger than the 50 training images")
    assert tie_to_data(trials, "mine", "abcd", 128, 10)
