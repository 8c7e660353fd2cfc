"""Searches of space files, driven over made-up trainings: those that ship, and one that `run` opens."""

from pathlib import Path

import pytest

from results.store.journal import LocalJournal
from results.store.local_store import LocalStore
from search_spaces.loader import load_space, shipped_spaces
from search_spaces.proposals import ProposalMaker
from sweep.search.opening import open_search, search_settings
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from tests.search_spaces_tests.search_samples import maker_of
from tests.sweep_tests.driven_searches import HalfStops, drive
from trainable.config import TrainConfig
from trainable.data.digits import load_digits

SEARCHES = [name for name in shipped_spaces() if load_space(name).space.search is not None]
NUM_TRIALS = 6


def opened(name: str, path: Path) -> Search:
    maker = ProposalMaker(load_space(name), {"epochs": 9})
    wanted = SearchSettings(
        name, NUM_TRIALS, maker.search, maker.parameters, maker.objectives, maker.scheduler, maker.confirm
    )
    return Search(wanted, LocalJournal(path), maker.trial, maker.active, HalfStops())


def error(config: TrainConfig, epoch: int) -> float:
    return min(100.0, 100 * config.lr + config.batch_size / 100 + 10 / epoch)


def test_searches_ship() -> None:
    assert len(SEARCHES) >= 4


@pytest.mark.parametrize("name", SEARCHES)
def test_a_shipped_search_runs_and_resumes_identically(name: str, tmp_path: Path) -> None:
    whole = opened(name, tmp_path / "whole.jsonl")
    drive(whole, error)
    assert sum(proposal.is_trained for proposal in whole.record.proposals) == NUM_TRIALS
    drive(opened(name, tmp_path / "cut.jsonl"), error, num_steps=19)
    again = opened(name, tmp_path / "cut.jsonl")
    drive(again, error)
    assert again.record == whole.record
    if whole.settings.confirm is not None:
        assert len(whole.confirmations()) == whole.settings.confirm.repeats * len(
            whole.best(whole.settings.confirm.top)
        )


def test_a_trial_may_be_longer_than_those_at_the_ends_of_the_parameters(tmp_path: Path) -> None:
    text = (
        "search: {algorithm: random, num_trials: 4}\nparameters: {lr: {min: 0.1, max: 0.9}}\n"
        "defaults: {dataset: digits}\nderive: {epochs: round(9 - (lr - 0.5) ** 2 * 50)}\n"
    )
    maker, data = maker_of(tmp_path, text), load_digits()
    wanted = search_settings("peak", maker, dataset=data.name, fingerprint=data.fingerprint)
    search = open_search(LocalStore(tmp_path), wanted, maker, data)
    drive(search, error)
    assert max(len(proposal.reports) for proposal in search.record.proposals) > maker.max_epochs
