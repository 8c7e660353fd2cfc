"""What comes after a search: the confirmations of the best, and the storage for Optuna's dashboard."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from results.store.journal import LocalJournal
from results.store.search_log import Earlier, read_log
from search_spaces.schema import ConfirmSpec
from sweep.search.optuna_export import TrainingFacts, export_study
from tests.sweep_tests.driven_searches import (
    BATCH_SIZE,
    ERROR,
    LR,
    SECONDS,
    HalfStops,
    bowl,
    drive,
    epoch_record,
    open_search,
    settings,
)
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.records import Status

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_best_are_confirmed_on_all_of_the_training_images(tmp_path: Path) -> None:
    wanted = settings("tpe", num_trials=12, confirm=ConfirmSpec(top=2, repeats=3))
    search = open_search(tmp_path, wanted, scheduler=HalfStops())
    drive(search)
    best = search.best(2)
    complete = [
        proposal for proposal in search.record.proposals if proposal.status is Status.COMPLETE and proposal.is_trained
    ]
    assert [proposal.values for proposal in best] == sorted(
        proposal.values for proposal in complete if proposal.values
    )[:2]
    planned = search.confirmations()
    assert [(trial.repeat, trial.config.seed, trial.config.holdout) for trial in planned] == [
        (i, i, 0.0) for i in (0, 1, 2)
    ] * 2
    assert [trial.config.lr for trial in planned] == [proposal.params["lr"] for proposal in best for _ in range(3)]
    assert len(search.record.confirmations) == 6


def test_confirmations_are_logged_once(tmp_path: Path) -> None:
    wanted = settings("random", num_trials=3, confirm=ConfirmSpec(top=5, repeats=1))
    search = open_search(tmp_path, wanted)
    drive(search)
    first = search.confirmations()
    assert len(first) == 3
    again = open_search(tmp_path, wanted)
    assert again.confirmations() == first
    assert read_log(LocalJournal(tmp_path / "search.jsonl")) == search.record


def test_without_confirm_nothing_is_confirmed(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(num_trials=2))
    drive(search)
    assert search.confirmations() == []


def exported(search_folder: Path, facts: Mapping[int, TrainingFacts] | None = None) -> optuna.Study:
    """What another program reads of the search in this folder."""
    url = f"sqlite:///{search_folder}/optuna.db"
    assert export_study(read_log(LocalJournal(search_folder / "search.jsonl")), "wide", url, facts or {}) == url
    return optuna.load_study(study_name="wide", storage=url)


def test_a_storage_holds_the_whole_search(tmp_path: Path) -> None:
    def rough(config: TrainConfig, epoch: int) -> float | None:
        return None if config.lr > 0.3 and epoch == 3 else bowl(config, epoch)

    search = open_search(tmp_path, settings("tpe", num_trials=14), scheduler=HalfStops())
    drive(search, rough)
    study = exported(tmp_path, {0: TrainingFacts(START, 90.0, {"test_error_percent": 4.5})})
    assert study.metric_names == ["holdout_error_percent"]
    assert len(study.trials) == len(search.record.proposals)
    seen = set()
    for proposal, trial, told in zip(
        search.record.proposals, study.trials, search.sampler.study.get_trials(), strict=True
    ):
        assert (trial.state, trial.params, trial.distributions) == (told.state, proposal.params, told.distributions)
        assert trial.intermediate_values == pytest.approx(told.intermediate_values)
        assert proposal.config is not None
        assert trial.user_attrs["trial_key"] == proposal.config.trial_key
        assert trial.user_attrs["status"] == proposal.status
        assert trial.user_attrs.get("test_error_percent") == (4.5 if proposal.number == 0 else None)
        assert trial.datetime_start == START.astimezone().replace(tzinfo=None)
        assert trial.duration == timedelta(seconds=90 if proposal.number == 0 else 0)
        seen.add(trial.state)
    assert seen == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["optuna.db", "search.jsonl"]


def test_what_a_search_began_with_comes_after_its_proposals(tmp_path: Path) -> None:
    wanted = settings("tpe", num_trials=3)
    wanted = dataclasses.replace(wanted, search=wanted.search.model_copy(update={"warm_start": "narrow"}))
    small, large = {"lr": 0.1, "batch_size": 16}, {"lr": 0.2, "batch_size": 64, "momentum": 0.8}
    outside = Earlier({"lr": 5.0, "batch_size": 16}, (1.0,))
    drive(open_search(tmp_path, wanted, earlier=[Earlier(small, (12.0,)), outside, Earlier(large, (9.0,))]))
    trials = exported(tmp_path).trials
    assert [trial.user_attrs.get("warm_start") for trial in trials] == [None] * 3 + ["narrow"] * 2
    assert [trial.user_attrs.get("trial_key") is None for trial in trials] == [False] * 3 + [True] * 2
    assert [(trial.state, trial.params, trial.value) for trial in trials[3:]] == [
        (TrialState.COMPLETE, small, 12.0),
        (TrialState.COMPLETE, large, 9.0),
    ]


def test_a_storage_of_a_search_under_way_with_two_objectives(tmp_path: Path) -> None:
    wanted = settings("random", (LR, BATCH_SIZE), 5, objectives=(ERROR, SECONDS))
    search = open_search(tmp_path, wanted)
    drive(search, num_steps=4 * 3 + 2)
    study = exported(tmp_path)
    assert study.metric_names == ["holdout_error_percent", "train_seconds"]
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.RUNNING]
    assert [tuple(trial.values) for trial in study.trials[:3]] == [
        proposal.values for proposal in search.record.proposals[:3]
    ]


def test_a_storage_takes_several_searches_and_each_once(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(num_trials=2))
    drive(search)
    exported(tmp_path)
    url = f"sqlite:///{tmp_path}/optuna.db"
    with pytest.raises(UserError, match=r"optuna\.db already holds a study 'wide': give another file or database$"):
        export_study(search.record, "wide", url, {})
    export_study(search.record, "other", url, {})
    assert {*optuna.get_all_study_names(url)} == {"other", "wide"}


def test_a_study_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(num_trials=2))
    drive(search)
    with pytest.raises(TypeError):
        exported(tmp_path, {1: TrainingFacts(START, 0.0, {"no JSON": object()})})
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/optuna.db") == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("search.db", "this is no URL of a database: write one such as sqlite:///search.db"),
        ("sqlite:///", "sqlite:/// names no file: write a URL such as sqlite:///search.db"),
        ("sqlite:///{folder}/no/search.db", "cannot open sqlite:///{folder}/no/search.db: unable to open"),
        ("sqlite:///{folder}/search.jsonl", "cannot open sqlite:///{folder}/search.jsonl: file is not a database"),
        ("nosuch://user:secret@host/db", "cannot open nosuch://user:***@host/db: Can't load plugin"),
        (
            "sqlite:///{folder}/o.db?timeout=soon",
            "cannot open sqlite:///{folder}/o.db?timeout=soon: could not convert",
        ),
        ("postgresql://host:port/db", "this is no URL of a database"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused_in_one_line(tmp_path: Path, url: str, message: str) -> None:
    search = open_search(tmp_path, settings(num_trials=1))
    before = (tmp_path / "search.jsonl").read_bytes()
    with pytest.raises(UserError) as error:
        export_study(search.record, "wide", url.format(folder=tmp_path), {})
    assert str(error.value).startswith(message.format(folder=tmp_path))
    assert "\n" not in str(error.value)
    assert (tmp_path / "search.jsonl").read_bytes() == before


def test_an_end_is_said_once_and_what_is_known_is_answered_as_it_was(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(num_trials=8), scheduler=(scheduler := HalfStops()))
    drive(search)
    stopped = next(proposal for proposal in search.record.proposals if proposal.status is Status.STOPPED)
    assert stopped.config is not None
    key = stopped.config.trial_key
    before = (tmp_path / "search.jsonl").read_bytes()
    num_calls = len(scheduler.calls)
    answers = [search.report(key, epoch_record(epoch, 1.0)) for epoch in range(1, 5)]
    assert answers == [epoch >= len(stopped.reports) for epoch in range(1, 5)]
    search.end(key, Status.FAILED)
    assert stopped.status is Status.STOPPED
    assert (tmp_path / "search.jsonl").read_bytes() == before
    assert len(scheduler.calls) == num_calls


@pytest.mark.parametrize("module", ["results.store.search_log", "sweep.search.sampler", "sweep.search.search"])
def test_a_search_loads_neither_torch_nor_ray(module: str) -> None:
    code = f"import {module}, sys; print({{'torch', 'ray'}} & {{*sys.modules}})"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout == "set()\n"
