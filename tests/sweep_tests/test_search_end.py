"""How a search ends, and what the next run makes of what had failed; without Ray."""

import dataclasses
from pathlib import Path

import pytest
from optuna.trial import TrialState

from results.store.journal import LocalJournal
from results.store.search_log import SEARCH_LOG, read_log
from search_spaces.parameters import SearchParameter
from search_spaces.schema import SchedulerSpec
from sweep.search.search import Search
from tests.sweep_tests.driven_searches import (
    BATCH_SIZE,
    LR,
    NUMBERS,
    Crash,
    HalfStops,
    bowl,
    drive,
    open_search,
    refuse_large_lr,
    settings,
)
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.checksums import sealed
from trainable.records import Status

TWO = (SearchParameter("lr", "categorical", choices=(0.05, 0.1)),)
SIZE = 4
PBT = SchedulerSpec(type="pbt", population=SIZE, quantile=0.25)


def short_of_memory(config: TrainConfig, epoch: int) -> float:
    """Large batches come to two epochs."""
    if config.batch_size == 256 and epoch == 3:
        raise Crash
    return bowl(config, epoch)


def failed(search: Search) -> list[int]:
    return [proposal.number for proposal in search.record.proposals if proposal.status is Status.FAILED]


def test_the_end_is_written_once_and_reported_afterwards(tmp_path: Path) -> None:
    log = tmp_path / SEARCH_LOG
    search = open_search(tmp_path, settings("tpe", TWO, 60))
    assert search.record.over is None
    drive(search)
    assert search.is_over
    told = "the space holds 2 different configurations, all were proposed: 60 asked for"
    before = log.read_bytes()
    assert before.splitlines(keepends=True)[-1] == sealed({"event": "over", "note": told})
    again = open_search(tmp_path, settings("tpe", TWO, 60))
    assert (again.is_over, again.next(), again.record.over) == (True, None, told)
    assert read_log(LocalJournal(log)).over == told
    assert log.read_bytes() == before


def test_a_search_that_tried_as_many_as_asked_for_has_no_reason_to_end(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe", TWO, 2))
    drive(search)
    assert search.is_over
    assert b"over" not in (tmp_path / SEARCH_LOG).read_bytes()


def test_more_trials_asked_for_continue_after_an_early_end(tmp_path: Path) -> None:
    def mostly_impossible(num_trials: int) -> Search:
        narrow = (SearchParameter("lr", "float", 0.05, 1.0), BATCH_SIZE)
        return open_search(tmp_path, settings("random", narrow, num_trials), refuse_large_lr)

    search = mostly_impossible(3)
    drive(search)
    assert search.record.over is not None
    trained = sum(proposal.is_trained for proposal in search.record.proposals)
    grown = mostly_impossible(30)
    assert grown.record.over is None
    assert not grown.is_over
    drive(grown)
    assert sum(proposal.is_trained for proposal in grown.record.proposals) > trained
    assert len(grown.record.proposals) == 300


def test_what_failed_is_trained_again_under_its_number_from_where_it_was(tmp_path: Path) -> None:
    wanted = settings("tpe", (LR, BATCH_SIZE), 12)
    first = open_search(tmp_path, wanted, scheduler=HalfStops())
    drive(first, short_of_memory)
    lost = failed(first)
    assert lost
    assert first.is_over
    reported = {number: first.record.proposals[number].reports for number in lost}
    search = open_search(tmp_path, wanted, scheduler=HalfStops())
    assert search.is_over
    search.try_again()
    assert not search.is_over
    assert (proposal := search.next()) is not None
    assert proposal.number == lost[0]
    search = open_search(tmp_path, wanted, scheduler=HalfStops())  # the driver was killed
    search.try_again()
    trained = drive(search)
    keys = {
        proposal.config.trial_key: proposal.number
        for proposal in search.record.proposals
        if proposal.config is not None
    }
    assert all(epoch > len(reported[keys[key]]) for key, epoch in trained)
    assert search.is_over
    assert failed(search) == []
    assert len(search.record.proposals) == len(first.record.proposals)
    assert {trial.state for trial in search.sampler.study.get_trials()} <= {TrialState.COMPLETE, TrialState.PRUNED}
    before = (tmp_path / SEARCH_LOG).read_bytes()
    open_search(tmp_path, wanted, scheduler=HalfStops()).try_again()
    assert (tmp_path / SEARCH_LOG).read_bytes() == before


def test_it_may_fail_again_and_what_is_the_same_shares_its_fate(tmp_path: Path) -> None:
    coarse = (SearchParameter("lr", "categorical", choices=(0.05, 0.1)), BATCH_SIZE)

    def again() -> Search:
        search = open_search(tmp_path, settings("random", coarse, 6, seed=5))
        search.try_again()
        return search

    drive(again(), short_of_memory)
    search = again()
    drive(search, short_of_memory)
    lost = failed(search)
    assert {search.record.proposals[number].is_trained for number in lost} == {True, False}
    search = again()
    drive(search)
    assert failed(search) == []
    for number in lost:
        proposal = search.record.proposals[number]
        assert proposal.values == search.record.source(proposal).values is not None


def test_a_run_that_tries_again_and_is_killed_anywhere_resumes_identically(tmp_path: Path) -> None:
    wanted = settings("tpe", (LR, BATCH_SIZE), 9)
    log = tmp_path / SEARCH_LOG
    drive(open_search(tmp_path, wanted, scheduler=HalfStops()), short_of_memory, num_steps=18)
    num_before = len(log.read_bytes().splitlines())
    whole = open_search(tmp_path, wanted, scheduler=(scheduler := HalfStops()))
    assert failed(whole)
    whole.try_again()
    drive(whole)
    lines = log.read_bytes().splitlines(keepends=True)
    for kept in range(num_before, len(lines) + 1):
        log.write_bytes(b"".join(lines[:kept]))
        search = open_search(tmp_path, wanted, scheduler=(rebuilt := HalfStops()))
        search.try_again()
        drive(search)
        assert search.record == whole.record, f"cut after line {kept}"
        assert rebuilt.values == scheduler.values


def test_a_retry_of_what_has_not_failed_is_damage(tmp_path: Path) -> None:
    drive(open_search(tmp_path, settings("random", NUMBERS, 2)))
    log = tmp_path / SEARCH_LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:-1], sealed({"event": "retry", "number": 0}), lines[-1]]))
    with pytest.raises(UserError, match="a retry of a proposal that has not failed"):
        read_log(LocalJournal(log))


@pytest.mark.parametrize("generation", [1, 2])
def test_of_a_population_only_the_latest_generation_tries_again(generation: int, tmp_path: Path) -> None:
    """The next generation has already begun without the trials that failed before."""
    wanted = dataclasses.replace(settings("random", NUMBERS, 2 * SIZE), scheduler=PBT)

    def one_fails(config: TrainConfig, epoch: int) -> float:
        if config.seed == (generation - 1) * SIZE + 1:
            raise Crash
        return bowl(config, epoch)

    drive(open_search(tmp_path, wanted), one_fails)
    search = open_search(tmp_path, wanted)
    assert len(failed(search)) == 1
    search.try_again()
    drive(search)
    assert search.is_over
    assert len(failed(search)) == (1 if generation == 1 else 0)


def test_a_population_that_died_of_failures_lives_again(tmp_path: Path) -> None:
    wanted = dataclasses.replace(settings("random", NUMBERS, 2 * SIZE), scheduler=PBT)

    def all_fail(config: TrainConfig, epoch: int) -> float:
        raise Crash

    search = open_search(tmp_path, wanted)
    drive(search, all_fail)
    assert search.record.over == "no member of generation 1 came to its end"
    search = open_search(tmp_path, wanted)
    search.try_again()
    drive(search)
    assert search.record.over is None
    assert [proposal.status for proposal in search.record.proposals] == [Status.COMPLETE] * 2 * SIZE


def test_states_that_no_later_generation_needs_are_spent_once_the_search_is_over(tmp_path: Path) -> None:
    wanted = dataclasses.replace(settings("random", NUMBERS, 3 * SIZE), scheduler=PBT)
    search = open_search(tmp_path, wanted)
    drive(search, num_steps=2 * 4 * SIZE + 2)
    assert len(search.record.proposals) > 2 * SIZE
    assert search.unneeded_states() == []
    search = open_search(tmp_path, wanted)

    def last_fails(config: TrainConfig, epoch: int) -> float:
        if config.seed == 3 * SIZE - 1:
            raise Crash
        return bowl(config, epoch)

    drive(search, last_fails)
    configs = [proposal.config for proposal in search.record.proposals if proposal.config is not None]
    before = [config.trial_key for config in configs[: 2 * SIZE]]
    assert search.unneeded_states() == [key for key in before if key != configs[-1].parent]
    search.try_again()
    assert search.unneeded_states() == []
    drive(search)
    assert search.unneeded_states() == before
    assert open_search(tmp_path / "plain", settings("random", NUMBERS, 2)).unneeded_states() == []
