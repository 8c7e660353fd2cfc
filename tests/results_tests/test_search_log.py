"""What may follow what in the log of a search, and what its record then says."""

import dataclasses
from pathlib import Path

import pytest

from results.store.configurations import best
from results.store.journal import LocalJournal
from results.store.search_log import (
    ConfirmEvent,
    Earlier,
    EndEvent,
    Event,
    OverEvent,
    ProposalEvent,
    ReportEvent,
    RetryEvent,
    SearchEvent,
    SearchLog,
    SearchRecord,
    all_finite,
    finite,
    read_log,
)
from results.store.search_settings import OBJECTIVE
from tests.results_tests.result_samples import make_config
from tests.results_tests.searched_stores import SETTINGS
from trainable.errors import UserError
from trainable.records import Status

A, B = make_config(lr=0.1), make_config(lr=0.2)
SEARCH = SearchEvent(SETTINGS, (Earlier({"base_lr": 0.1}, (9.0,)),))
FIRST, SECOND = ProposalEvent(0, {"base_lr": 0.1}, A, {}), ProposalEvent(1, {"base_lr": 0.2}, B, {})
REPORT, END = ReportEvent(0, 1, (9.0,), stop=False), EndEvent(0, Status.COMPLETE, (9.0,))
FAILED = EndEvent(0, Status.FAILED, None)
BEGUN: tuple[Event, ...] = (SEARCH, FIRST, REPORT)
CANNOT_FOLLOW: dict[str, tuple[tuple[Event, ...], Event, str]] = {
    "a proposal too early": (BEGUN, dataclasses.replace(SECOND, number=2), "a proposal is missing"),
    "a proposal twice": (BEGUN, FIRST, "a proposal is missing"),
    "a proposal equal to itself": (BEGUN, dataclasses.replace(SECOND, same_as=1), "equal to a later one"),
    "a parameter of another search": (BEGUN, dataclasses.replace(SECOND, params={"x": 1}), "unknown parameters x"),
    "a report of no proposal": (BEGUN, dataclasses.replace(REPORT, number=1), "an unknown proposal"),
    "a report too early": (BEGUN, dataclasses.replace(REPORT, epoch=3), "an epoch is missing"),
    "a report twice": (BEGUN, REPORT, "an epoch is missing"),
    "a report of two values": (BEGUN, dataclasses.replace(REPORT, epoch=2, values=(1.0, 2.0)), "not one value"),
    "a report after the end": ((*BEGUN, END), dataclasses.replace(REPORT, epoch=2), "a proposal that has ended"),
    "an end of no proposal": (BEGUN, dataclasses.replace(END, number=1), "an unknown proposal"),
    "an end twice": ((*BEGUN, END), END, "a proposal that has ended"),
    "an end with two values": (BEGUN, dataclasses.replace(END, values=(1.0, 2.0)), "not one value"),
    "a retry of no proposal": (BEGUN, RetryEvent(1), "an unknown proposal"),
    "a retry of what runs": (BEGUN, RetryEvent(0), "has not failed"),
    "a confirmation of no proposal": (BEGUN, ConfirmEvent(1, 0, A, {}), "an unknown proposal"),
}


def record_of(*events: Event) -> SearchRecord:
    record = SearchRecord()
    for event in events:
        record.apply(event)
    return record


@pytest.mark.parametrize("case", CANNOT_FOLLOW)
def test_what_cannot_follow_is_damage(case: str, tmp_path: Path) -> None:
    before, event, problem = CANNOT_FOLLOW[case]
    record = record_of(*before)
    with pytest.raises(ValueError, match=problem):
        record.apply(event)
    assert record == record_of(*before)
    journal = LocalJournal(tmp_path / "search.jsonl")
    SearchLog(journal).append([*before, event, OverEvent("only the last line may be torn")])
    with pytest.raises(UserError, match=rf"search\.jsonl:{len(before) + 1} is damaged \(.*{problem}"):
        SearchLog(journal)
    assert read_log(journal, up_to_damage=True).proposals == record.proposals
    torn = b"".join(journal.read().splitlines(keepends=True)[:-1]).removesuffix(b"\n")
    (tmp_path / "torn.jsonl").write_bytes(torn)
    assert SearchLog(LocalJournal(tmp_path / "torn.jsonl")).events == [*before]


@pytest.mark.parametrize(
    ("first", "problem"),
    [(OverEvent("too early"), "the settings are missing"), (SearchEvent({"seed": 0}), r"algorithm is missing.*")],
)
def test_a_log_begins_with_the_settings(tmp_path: Path, first: Event, problem: str) -> None:
    journal = LocalJournal(tmp_path / "search.jsonl")
    SearchLog(journal).append([first, SEARCH, FIRST])
    with pytest.raises(UserError, match=rf"search\.jsonl:1 is damaged \({problem}\)"):
        read_log(journal)


def test_a_search_that_grows_is_not_over_and_keeps_its_earlier_results() -> None:
    more = SearchEvent(SETTINGS | {"num_trials": 30})
    assert record_of(*BEGUN, OverEvent("all tried")).over == "all tried"
    record = record_of(*BEGUN, OverEvent("all tried"), more)
    assert (record.over, record.settings["num_trials"], record.earlier) == (None, 30, SEARCH.earlier)


def test_a_retry_makes_a_failed_proposal_run_again() -> None:
    record = record_of(*BEGUN, FAILED, OverEvent("all tried"), RetryEvent(0), dataclasses.replace(REPORT, epoch=2))
    assert (record.over, record.proposals[0].status, len(record.proposals[0].reports)) == (None, None, 2)


def test_the_best_are_complete_and_trained_themselves() -> None:
    """An equal proposal counts through the one that was trained, an impossible one not at all."""
    equal = ProposalEvent(2, {"base_lr": 0.1}, A, {}, same_as=0)
    impossible = ProposalEvent(3, {"base_lr": 0.3}, None, {}, error="too large")
    events: list[Event] = [SEARCH, FIRST, SECOND, equal, impossible, END, EndEvent(1, Status.COMPLETE, (8.0,))]
    ends = [EndEvent(2, Status.COMPLETE, (9.0,)), EndEvent(3, Status.FAILED, None)]
    record = record_of(*events, *ends)
    assert [proposal.number for proposal in best(record)] == [1, 0]
    assert [record.source(proposal).number for proposal in record.proposals] == [0, 1, 0, 3]
    diverged = record_of(
        SEARCH, FIRST, SECOND, EndEvent(0, Status.COMPLETE, (None,)), EndEvent(1, Status.STOPPED, (1.0,))
    )
    assert best(diverged) == []


def test_the_best_of_a_population_are_of_its_last_generation() -> None:
    child = dataclasses.replace(SECOND, config=make_config(lr=0.2, epochs=A.epochs + 1, parent=A.trial_key))
    record = record_of(SEARCH, FIRST, child, END, EndEvent(1, Status.COMPLETE, (10.0,)))
    assert [proposal.number for proposal in best(record)] == [1]


def test_of_two_objectives_the_front_is_the_best() -> None:
    settings = SETTINGS | {OBJECTIVE: [{"metric": name, "goal": "minimize"} for name in ("a", "b")]}
    proposals = [dataclasses.replace(FIRST, number=number) for number in range(3)]
    values = [(2.0, 1.0), (1.0, 2.0), (2.0, 2.0)]
    ends = [EndEvent(number, Status.COMPLETE, pair) for number, pair in enumerate(values)]
    assert [proposal.number for proposal in best(record_of(SearchEvent(settings), *proposals, *ends))] == [1, 0]


def test_values_that_are_not_finite_are_none() -> None:
    assert [finite(value) for value in (1.0, 0.0, None, float("nan"), float("inf"))] == [1.0, 0.0, None, None, None]
    assert [all_finite(values) for values in (None, (), (None,), (0.0, None), (0.0, 1.0))] == [None] * 4 + [
        (0.0, 1.0)
    ]
