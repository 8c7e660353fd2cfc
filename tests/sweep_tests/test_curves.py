"""Which recorded curves can be replayed, and the command that does."""

import dataclasses
import json
from pathlib import Path

import pytest

import tune_main
from results.parquet.trials import Trial
from sweep.search.curves import recorded_curves
from tests.conftest import ROOT
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_epoch, make_trial
from tests.results_tests.searched_stores import BRED, write_population
from trainable.errors import UserError
from trainable.records import EpochRecord, Purpose, Status

EXAMPLES = str(ROOT / "results" / "examples")
Epochs = dict[str, list[EpochRecord]]


def trained(holdout: float = 0.0, num: int = 3, epochs: int = 2) -> tuple[list[Trial], Epochs]:
    configs = [make_config(seed=seed, epochs=epochs, holdout=holdout) for seed in range(num)]
    held_out = [50.0, 40.0, 30.0] if holdout else [None] * 3
    records = [make_epoch(epoch, 30.0, holdout_error_percent=held_out[epoch - 1]) for epoch in range(1, epochs + 1)]
    return [make_trial(config, 30.0) for config in configs], {config.trial_key: records for config in configs}


def test_what_was_held_out_comes_before_the_test_error() -> None:
    found = recorded_curves("sweep", *trained(holdout=0.1))
    assert found.metric == "holdout_error_percent"
    assert found.curves[0].values == (50.0, 40.0)
    assert found.curves[0].seconds == (2.5, 2.5), "training and evaluation"
    assert found.objective == "holdout error"


def test_without_held_out_images_the_test_error_is_used_and_said() -> None:
    found = recorded_curves("sweep", *trained())
    assert found.curves[0].values == (30.0, 30.0)
    assert found.objective.startswith("TEST error, since nothing was held out")
    mixed, epochs = trained(holdout=0.1)
    others, more = trained()
    assert recorded_curves("sweep", [*mixed, *others], epochs | more).metric == "test_error_percent"


def test_trials_without_an_end_of_their_own_are_left_out_and_counted() -> None:
    trials, epochs = trained(num=5)
    config = make_config(seed=9, epochs=2)
    diverged = make_trial(config, None, status="DIVERGED")
    cut = [make_trial(make_config(seed=seed, epochs=2), 30.0, status="STOPPED") for seed in (0, 1)]
    found = recorded_curves(
        "sweep", [*cut, *trials[2:], diverged], epochs | {config.trial_key: [make_epoch(1, None)]}
    )
    assert found.num_left_out == 2
    assert [curve.status for curve in found.curves] == [Status.COMPLETE] * 3 + [Status.DIVERGED]
    assert found.curves[-1].end is None
    assert found.objective.endswith("; 2 unfinished trials left out")


def test_confirmations_are_no_curves_of_the_search() -> None:
    trials, epochs = trained(holdout=0.1)
    confirmed, more = trained(holdout=0.0)
    confirmed = [Trial(trial.config, dataclasses.replace(trial.row, purpose=Purpose.CONFIRM)) for trial in confirmed]
    found = recorded_curves("sweep", [*trials, *confirmed], epochs | more)
    assert (found.metric, len(found.curves), found.num_left_out) == ("holdout_error_percent", 3, 0)


def test_nothing_to_replay_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match="sweep: nothing to replay: 1 of 1 trials trained to their end, 2 are needed"):
        recorded_curves("sweep", *trained(num=1))
    with pytest.raises(UserError, match="no trial has more than one epoch"):
        recorded_curves("sweep", *trained(epochs=1))
    (short, few), (long, more) = trained(num=2), trained(num=2, epochs=3)
    with pytest.raises(
        UserError, match="compares trials after equal epochs, and these train 2 to 3, so at different"
    ):
        recorded_curves("sweep", [*short, *long], few | more)


def test_generations_are_no_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_population(tmp_path)
    message = refused(["replay", BRED, "--store", str(tmp_path)], capsys)
    assert "bred: nothing to replay: population based training has no independent curves" in message


def test_the_command_replays_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", "quickstart", "--store", EXAMPLES, "--orders", "5"]
    assert tune_main.main([*command, "--scheduler", "median", "--min-trials", "2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("quickstart: 9 trials under median (grace_epochs 1, min_trials 2), 1 worker, 5 orders\n")
    assert "  objective       TEST error, since nothing was held out" in text
    assert tune_main.main([*command, "--workers", "3", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["sweep"], content["num_workers"], content["metric"]) == ("quickstart", 3, "test_error_percent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["quickstart", "--scheduler", "median", "--brackets", "2"], "brackets is not a key of median"),
        (["quickstart", "--grace-epochs", "11"], "grace_epochs 11 is more than the 10 epochs of a trial"),
        (["nothing"], "no sweep 'nothing'"),
    ],
)
def test_the_command_refuses_in_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(["replay", *options, "--store", EXAMPLES], capsys)


def test_an_empty_store_has_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no sweep 'quickstart'" in refused(["replay", "quickstart", "--store", str(tmp_path)], capsys)
