"""What Tune's plug-ins make of a search, and of its troubles, without starting Ray."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.store.journal import LocalJournal
from results.store.search_log import SEARCH_LOG, SearchLog, read_log
from search_spaces.schema import ConfirmSpec
from sweep.driver.search_plugins import ProposingSearcher, SearchSteps, StoppingScheduler
from sweep.observers.observer import Observer
from sweep.search.search import Search
from tests.sweep_tests.driven_searches import LR, bowl, epoch_record, open_search, settings
from tests.sweep_tests.test_search_promotion import promoting_search
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.execution import Share
from trainable.records import Progress, Status
from trainable.tune_adapter import CONFIG, SHARE, TRIAL_KEY, report

FULL = Path("/dev/full")
"""Takes nothing; must never be read: it has no end."""


class Watch(Observer):
    """An observer of additions, pauses and ends."""

    def __init__(self) -> None:
        self.added: list[PlannedTrial] = []
        self.paused: list[str] = []
        self.ended: list[tuple[str, Status]] = []

    def on_trial_added(self, trial: PlannedTrial) -> None:
        self.added.append(trial)

    def on_trial_paused(self, trial_key: str) -> None:
        self.paused.append(trial_key)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self.ended.append((trial_key, progress.status))


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return open_search(tmp_path, settings("random", (LR,), 3))


def after_epoch(config: TrainConfig, epoch: int) -> Progress:
    status = Status.COMPLETE if epoch == config.epochs else Status.INCOMPLETE
    return Progress(epoch_record(epoch, bowl(config, epoch)), status, replayed=False)


def share(trial: PlannedTrial) -> Share:
    return Share(1.0, 0.5)


def test_proposals_go_to_tune_and_ends_to_the_search(search: Search, tmp_path: Path) -> None:
    watch = Watch()
    steps = SearchSteps(search, share, [watch])
    searcher = ProposingSearcher(steps, lambda: 2)
    for number in range(3):
        carried = searcher.suggest("a trial")
        assert isinstance(carried, dict)
        config = TrainConfig.from_dict(carried[CONFIG])
        assert carried[SHARE] == {"cpus": 1.0, "gpus": 0.5, "streams": False}
        assert carried[TRIAL_KEY] == config.trial_key == watch.added[-1].config.trial_key
        assert not any(steps.report(config.trial_key, after_epoch(config, e)) for e in range(1, config.epochs + 1))
        assert search.record.proposals[number].status is Status.COMPLETE
        assert read_log(LocalJournal(tmp_path / SEARCH_LOG)) == search.record
        searcher.on_trial_complete("a trial")
    assert searcher.suggest("no trial") == searcher.FINISHED
    assert search.is_over
    steps.raise_error()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("moment", ["a proposal", "a report", "a failure"])
def test_a_full_disk_is_reported_once_and_the_search_proposes_nothing_more(
    search: Search, tmp_path: Path, moment: str
) -> None:
    steps = SearchSteps(search, share, [])
    carried = steps.propose()
    assert carried is not None
    config, key = TrainConfig.from_dict(carried[CONFIG]), carried[TRIAL_KEY]
    log = tmp_path / SEARCH_LOG
    before = log.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalJournal, "_open", lambda journal, flags=0: FULL.open("wb"))
        if moment == "a proposal":
            assert steps.propose() is None
        elif moment == "a report":
            assert steps.report(key, after_epoch(config, 1))  # Tune stops the trial: nobody would hear of its epochs
        else:
            steps.fail(key, is_recorded=True)
    # There is room again, before the run has ended.
    assert steps.propose() is None
    assert steps.report(key, after_epoch(config, 1))
    steps.fail(key, is_recorded=True)
    assert log.read_bytes() == before
    with pytest.raises(UserError, match=r"No space left on device .*; what was trained is kept") as error:
        steps.raise_error()
    assert "\n" not in str(error.value)
    assert [proposal.status for proposal in open_search(tmp_path, search.settings).record.proposals] == [None]


def test_what_failed_without_a_record_is_not_over(search: Search, tmp_path: Path) -> None:
    """On a full disk the trial's own ledger cannot record the failure: the next run resumes the trial."""
    proposals = [search.next() for _ in range(3)]
    for proposal in proposals[:2]:
        assert proposal is not None
        search.end(proposal.trial.config.trial_key, Status.COMPLETE)
    assert search.next() is None
    assert not search.is_over
    again = open_search(tmp_path, search.settings)
    assert again.next() == proposals[2]


@pytest.mark.parametrize("moment", ["its process died", "it has told so"])
def test_a_failure_that_no_ledger_holds_ends_the_search_until_the_next_run(tmp_path: Path, moment: str) -> None:
    wanted = settings("random", (LR,), 5, confirm=ConfirmSpec(top=1, repeats=2))
    search = open_search(tmp_path, wanted)
    watch = Watch()
    steps = SearchSteps(search, share, [watch])
    searcher = ProposingSearcher(steps, lambda: 2)
    lost, other = (searcher.suggest(name) for name in ("a", "b"))
    assert isinstance(lost, dict)
    assert isinstance(other, dict)
    if moment == "its process died":
        steps.fail(lost[TRIAL_KEY], is_recorded=False)
    else:
        assert not steps.report(lost[TRIAL_KEY], Progress(None, Status.FAILED, replayed=False, error="no space"))
    assert read_log(LocalJournal(tmp_path / SEARCH_LOG)) == search.record
    assert searcher.suggest("no trial") is None
    assert not search.is_over
    config = TrainConfig.from_dict(other[CONFIG])
    assert not any(steps.report(config.trial_key, after_epoch(config, e)) for e in range(1, config.epochs + 1))
    assert search.is_over
    assert searcher.suggest("no trial") == searcher.FINISHED
    assert search.confirmations() == []
    assert [trial.config.trial_key for trial in watch.added] == [lost[TRIAL_KEY], other[TRIAL_KEY]]
    steps.raise_error()

    again = open_search(tmp_path, wanted)
    assert [proposal.status for proposal in again.record.proposals] == [None, Status.COMPLETE]
    assert not again.is_over
    first = again.next()
    assert first is not None
    assert (first.number, first.trial.config.trial_key) == (0, lost[TRIAL_KEY])
    assert len(again.record.proposals) == 2


def test_a_paused_trial_lets_go_of_its_ledger_and_ends_with_the_search(tmp_path: Path) -> None:
    """Tune may keep its process for another trial, while a promoted one is trained on in a second process."""
    search = promoting_search(tmp_path, "random", 2, (LR,))
    watch, released = Watch(), []
    steps = SearchSteps(search, share, [watch])
    scheduler = StoppingScheduler(steps)

    def run(carried: Mapping[str, Any], epochs: range) -> str:
        actor = SimpleNamespace(cleanup=SimpleNamespace(remote=lambda: released.append(carried[TRIAL_KEY])))
        trial = SimpleNamespace(config=carried, temporary_state=SimpleNamespace(ray_actor=actor))
        config = TrainConfig.from_dict(carried[CONFIG])
        for epoch in epochs:
            answer = scheduler.on_trial_result(None, trial, report(after_epoch(config, epoch)))
        return answer

    first, second = steps.propose(), steps.propose()
    assert first is not None
    assert second is not None
    assert [run(carried, range(1, 2)) for carried in (first, second)] == ["STOP", "STOP"]
    assert released == [first[TRIAL_KEY], second[TRIAL_KEY]]
    assert steps.paused == {*released}
    again = promoting_search(tmp_path, "random", 2, (LR,))
    late = Watch()
    assert SearchSteps(again, share, [late]).paused == steps.paused
    assert sorted(late.paused) == sorted(steps.paused)
    assert again.is_over is steps.is_over is False
    promoted = steps.propose()
    assert promoted in (first, second)
    assert run(promoted, range(1, 3)) == "STOP", "it replays the first rung, and pauses at the second"
    assert steps.propose() == promoted, "nobody else came so far, and one is to come to its end"
    assert run(promoted, range(1, 5)) == "CONTINUE"
    assert steps.propose() is None
    assert steps.is_over
    left_behind = {*released} - {promoted[TRIAL_KEY]}
    assert watch.ended == [(key, Status.STOPPED) for key in left_behind]
    assert not steps.paused
    steps.raise_error()


def test_a_torn_line_of_a_full_disk_is_cut_off(tmp_path: Path, search: Search) -> None:
    log = tmp_path / SEARCH_LOG
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'{"event":"propo')
    assert SearchLog(LocalJournal(log)).events
    assert log.read_bytes() == whole


def test_no_more_is_proposed_than_can_begin_and_nodes_that_join_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = open_search(tmp_path, settings("random", (LR,), 8))
    slots, clock = [2], [0.0]
    monkeypatch.setattr("sweep.driver.search_plugins.time.monotonic", lambda: clock[0])
    searcher = ProposingSearcher(SearchSteps(search, share, []), lambda: slots[0])
    assert [searcher.suggest(name) is None for name in "abc"] == [False, False, True]
    searcher.on_trial_complete("a")
    assert [searcher.suggest(name) is None for name in "cd"] == [False, True]
    slots[0], clock[0] = 4, 10.0  # two nodes join
    assert [searcher.suggest(name) is None for name in "efg"] == [False, False, True]
    slots[0], clock[0] = 1, 20.0  # three go
    searcher.on_trial_complete("b")
    searcher.on_trial_complete("c")
    assert searcher.suggest("h") is None
