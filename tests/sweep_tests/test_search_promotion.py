"""Searches that pause and promote trials, whose driver is killed, and that grow."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from results.store.journal import LocalJournal
from results.store.search_log import read_log
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, SchedulerSpec
from sweep.search.scheduler import make_scheduler
from sweep.search.search import Search
from tests.sweep_tests.driven_searches import NUMBERS, SPACE, Crash, bowl, drive, open_search, settings
from tests.sweep_tests.test_search_resume import COARSE, LOG, rough
from trainable.config import TrainConfig
from trainable.records import Status


def promoting_search(folder: Path, algorithm: Algorithm, num_trials: int, space: Sequence[SearchParameter]) -> Search:
    """A search whose trials of four epochs pause after the first and the second, of which the better half go on."""
    spec = SchedulerSpec(type="promotion", grace_epochs=1, reduction_factor=2)
    folder.mkdir(exist_ok=True)
    return open_search(folder, settings(algorithm, space, num_trials), scheduler=make_scheduler(spec, 4, 0))


@pytest.mark.parametrize(
    ("algorithm", "space", "every"),
    [
        ("random", COARSE, 19),
        ("tpe", SPACE, 17),
        ("mfgp", SPACE, 29),
        pytest.param("random", COARSE, 1, marks=pytest.mark.faults),
        pytest.param("tpe", SPACE, 1, marks=pytest.mark.faults),
        pytest.param("tpe", COARSE, 1, marks=pytest.mark.faults),
        pytest.param("mfgp", SPACE, 1, marks=pytest.mark.faults),
    ],
)
def test_a_promoting_search_cut_at_any_event_is_the_uninterrupted_one(
    algorithm: Algorithm, space: Sequence[SearchParameter], every: int, tmp_path: Path
) -> None:
    whole = promoting_search(tmp_path / "whole", algorithm, 13, space)
    trained = drive(whole, rough)
    assert len(trained) == len({*trained}), "a promoted trial resumes where it was paused"
    lines = (tmp_path / "whole" / LOG).read_bytes().splitlines(keepends=True)
    assert sum(b'"event":"promote"' in line for line in lines) > 5
    ended = [proposal for proposal in whole.record.proposals if proposal.status is Status.STOPPED]
    assert {len(whole.record.source(proposal).reports) for proposal in ended} == {1, 2}
    for kept in range(0, len(lines) + 1, every):
        cut = tmp_path / "cut" / LOG
        cut.parent.mkdir(exist_ok=True)
        cut.write_bytes(b"".join(lines[:kept]))
        search = promoting_search(tmp_path / "cut", algorithm, 13, space)
        drive(search, rough)
        assert cut.read_bytes() == b"".join(lines), f"cut after line {kept}"
        assert search.record == whole.record == read_log(LocalJournal(cut))
        assert search.is_over


@pytest.mark.parametrize("num_workers", [1, 4, 16])
def test_promoting_workers_killed_again_and_again_train_nothing_twice(num_workers: int, tmp_path: Path) -> None:
    dice = random.Random(num_workers)  # noqa: S311
    trained: list[tuple[str, int]] = []
    for _ in range(200):
        search = promoting_search(tmp_path, "tpe", 14, SPACE)
        trained += drive(search, bowl, num_workers=num_workers, num_steps=dice.randrange(1, 40))
        if search.next() is None and search.is_over:
            break
    else:
        pytest.fail("the search does not end")
    assert len(trained) == len({*trained}) == sum(len(proposal.reports) for proposal in search.record.proposals)
    assert {proposal.status for proposal in search.record.proposals} >= {Status.STOPPED, Status.COMPLETE}
    assert not any(proposal.status is None for proposal in search.record.proposals)


def test_a_promoting_search_that_grows_promotes_what_it_had_left_behind(tmp_path: Path) -> None:
    first = promoting_search(tmp_path, "random", 6, NUMBERS)
    drive(first)
    behind = {proposal.number for proposal in first.record.proposals if proposal.status is Status.STOPPED}
    grown = promoting_search(tmp_path, "random", 14, NUMBERS)
    assert not grown.is_over
    drive(grown)
    ends = grown.record.proposals[:6]
    assert any(end.number in behind and len(end.reports) > 1 for end in ends), "some were promoted after all"
    assert grown.is_over
    assert all(proposal.status is not None for proposal in grown.record.proposals)
    assert promoting_search(tmp_path, "random", 14, NUMBERS).record == grown.record


def test_a_promoting_search_of_few_trials_has_one_that_comes_to_its_end(tmp_path: Path) -> None:
    search = promoting_search(tmp_path, "random", 2, NUMBERS)
    drive(search)
    ends = {(proposal.status, len(proposal.reports)) for proposal in search.record.proposals}
    assert ends == {(Status.COMPLETE, 4), (Status.STOPPED, 1)}


def test_where_the_one_promoted_trial_fails_no_other_is_promoted(tmp_path: Path) -> None:
    def crashing(config: TrainConfig, epoch: int) -> float:
        if epoch == 2:
            raise Crash
        return bowl(config, epoch)

    search = promoting_search(tmp_path, "random", 2, NUMBERS)
    drive(search, crashing)
    ends = {(proposal.status, len(proposal.reports)) for proposal in search.record.proposals}
    assert ends == {(Status.FAILED, 1), (Status.STOPPED, 1)}
    assert search.is_over
    search.try_again()
    drive(search)
    assert {proposal.status for proposal in search.record.proposals} == {Status.COMPLETE, Status.STOPPED}
