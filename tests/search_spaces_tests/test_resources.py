"""The CPUs and GPUs that a space gives to each trial."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand
from search_spaces.resources import ResourceRule
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import PlannedTrial
from trainable.errors import UserError
from trainable.execution import Share
from trainable.gpu_share import Sharing

SPACE = """
    grid: {batch_size: [64, 512], base_lr: [0.1]}
    derive: {lr: base_lr * batch_size / 128}
    resources:
      cpus: 2
      gpus: %s
"""
SMALL, LARGE = Share(2.0, 0.25), Share(2.0, 1.0)


def declared(folder: Path, gpus: str) -> tuple[ResourceRule, list[PlannedTrial]]:
    loaded = load_text(folder, SPACE % gpus)
    return ResourceRule(loaded), expand(loaded, {}).trials


def shares(folder: Path, gpus: str) -> list[Share]:
    rule, trials = declared(folder, gpus)
    return [rule.share(trial, default_gpus=1.0) for trial in trials]


def test_a_function_of_the_configuration(tmp_path: Path) -> None:
    assert shares(tmp_path, "0.25 if batch_size <= 128 else 1") == [SMALL, LARGE]
    assert shares(tmp_path, "1 if model == 'resnet_110' else 0.25") == [SMALL, SMALL]
    assert shares(tmp_path, "base_lr * 10 / 4") == [SMALL, SMALL]
    assert shares(tmp_path, "1") == [LARGE, LARGE]
    assert shares(tmp_path, "0.25 if nesterov else 1") == [SMALL, SMALL]


def test_resources_are_no_part_of_a_trial(tmp_path: Path) -> None:
    _, trials = declared(tmp_path, "1")
    _, others = declared(tmp_path, "0")
    assert [trial.config.trial_key for trial in trials] == [trial.config.trial_key for trial in others]


def test_the_command_line_comes_first_and_nothing_said_is_one_gpu_where_there_is_one(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, SPACE % "0.25")
    [trial, _] = expand(loaded, {}).trials
    assert ResourceRule(loaded, 4.0, 0.0).share(trial, 1.0) == Share(4.0, 0.0)
    assert ResourceRule().share(trial, 1.0) == Share(1.0, 1.0)
    assert ResourceRule().share(trial, 0.0) == Share(1.0, 0.0)


def test_shares_that_were_measured(tmp_path: Path) -> None:
    rule, trials = declared(tmp_path, "auto")
    assert rule.is_auto
    measured = {
        ("resnet_preact_20", 128, "auto"): Sharing(0.125, streams=True),
        ("resnet_preact_20", 512, "auto"): Sharing(0.5),
    }
    found = [rule.share(trial, 1.0, measured) for trial in trials]
    assert [(share.gpus, share.streams) for share in found] == [(0.125, True), (0.5, False)]
    [options, _] = [ResourceRule(None, None, 0.125).share(trial, 1.0, measured) for trial in trials]
    assert (options.gpus, options.streams) == (0.125, False)  # the user's own share is one of processes
    assert [rule.share(trial, 0.0).gpus for trial in trials] == [0.0, 0.0]  # nothing to measure


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        ("1.5", "must be a fraction below 1 or a whole number, got 1.5 for resnet_preact_20, batch size 64"),
        ("-1", "must be a fraction below 1 or a whole number, got -1"),
        ("lr > 0.1 if", "cannot read the expression"),
        ("0.25 if bach_size < 128 else 1", "'bach_size' has no value: did you mean 'batch_size'?"),
        ("dataset", "'dataset' is the word 'digits', not a number"),
        ("[1, 2]", "must be a number"),
        ("", "is empty: for example gpus: 0.25 if batch_size <= 128 else 1, or leave it out"),
    ],
)
def test_mistakes_are_one_line_with_their_location(tmp_path: Path, gpus: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        shares(tmp_path, gpus)
    assert str(refused.value).startswith(f"{tmp_path}/space.yaml:5: resources.gpus: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space\.yaml:2: resources\.gpu: unknown key 'gpu': did you mean 'gpus'"):
        load_text(tmp_path, "grid: {lr: [1]}\nresources: {gpu: 1}\n")
