"""A search whose driver was killed at any moment resumes as if nothing had happened."""

import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.trial import TrialState

from results.store.journal import LocalJournal
from results.store.local_store import LocalStore
from results.store.search_log import Earlier, SearchRecord, read_log
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, ConfirmSpec
from sweep.search.opening import repair_log
from sweep.search.search import Search
from tests.older_records import without_checksums
from tests.sweep_tests.driven_searches import (
    BATCH_SIZE,
    ERROR,
    LR,
    NUMBERS,
    SECONDS,
    SPACE,
    Crash,
    HalfStops,
    bowl,
    drive,
    open_search,
    params_of,
    refuse_large_lr,
    settings,
)
from trainable.config import SHARED_HOLDOUT, TrainConfig
from trainable.errors import UserError
from trainable.records import Status

LOG = "search.jsonl"
COARSE = (SearchParameter("lr", "float", 0.02, 0.1, step=0.02), BATCH_SIZE)
"""Fifteen configurations: samplers repeat themselves."""


def rough(config: TrainConfig, epoch: int) -> float | None:
    """Errors of trials some of which diverge; one fails."""
    if config.batch_size == 16 and config.lr < 0.05:
        raise Crash
    return None if config.lr > 0.3 and epoch == 2 else bowl(config, epoch)


def whole_search(
    folder: Path, algorithm: Algorithm, parameters: Sequence[SearchParameter], num_trials: int
) -> tuple[SearchRecord, list[bytes], HalfStops]:
    scheduler = HalfStops()
    search = open_search(folder, settings(algorithm, parameters, num_trials), scheduler=scheduler)
    drive(search, rough)
    return search.record, (folder / LOG).read_bytes().splitlines(keepends=True), scheduler


def open_numbers(record: SearchRecord) -> set[int]:
    """Numbers of the unfinished proposals and of the failed ones, which the next run tries again."""
    return {
        proposal.number
        for proposal in record.proposals
        if proposal.status in (None, Status.FAILED) and proposal.config is not None
    }


def running_numbers(search: Search) -> set[int]:
    return {trial.number for trial in search.sampler.study.get_trials() if trial.state is TrialState.RUNNING}


def goes_on_alike(
    folder: Path, left: bytes, algorithm: Algorithm, parameters: Sequence[SearchParameter], num_trials: int
) -> tuple[SearchRecord, HalfStops]:
    folder.mkdir(exist_ok=True)
    (folder / LOG).write_bytes(left)
    scheduler = HalfStops()
    search = open_search(folder, settings(algorithm, parameters, num_trials), scheduler=scheduler)
    assert running_numbers(search) == open_numbers(search.record)
    known = {
        (proposal.config.trial_key, report.epoch)
        for proposal in search.record.proposals
        if proposal.config is not None
        for report in proposal.reports
    }
    trained = drive(search, rough)
    assert len(trained) == len({*trained})
    assert not known & {*trained}
    assert running_numbers(search) == open_numbers(search.record)
    assert all(proposal.status is not None for proposal in search.record.proposals)
    assert read_log(LocalJournal(folder / LOG)) == search.record
    return search.record, scheduler


@pytest.mark.parametrize(
    ("algorithm", "parameters", "num_trials", "every"),
    [
        ("tpe", SPACE, 12, 1),
        ("tpe", COARSE, 15, 7),
        ("random", COARSE, 10, 1),
        ("random", COARSE, 20, 6),
        ("cmaes", (*NUMBERS, BATCH_SIZE), 30, 24),
        ("mfgp", SPACE, 9, 9),
        ("qmc", SPACE, 8, 1),
        ("grid", (BATCH_SIZE, SearchParameter("lr", "categorical", choices=(0.01, 0.1))), 6, 1),
    ],
)
def test_a_search_cut_at_any_event_is_the_uninterrupted_one(
    algorithm: Algorithm, parameters: Sequence[SearchParameter], num_trials: int, every: int, tmp_path: Path
) -> None:
    wanted, lines, scheduler = whole_search(tmp_path / "whole", algorithm, parameters, num_trials)
    assert {proposal.status for proposal in wanted.proposals} >= {Status.COMPLETE, Status.FAILED}
    for kept in range(0, len(lines) + 1, every):
        record, again = goes_on_alike(tmp_path / "cut", b"".join(lines[:kept]), algorithm, parameters, num_trials)
        assert record == wanted, f"cut after line {kept}"
        assert again.values == scheduler.values


def test_a_line_cut_in_the_middle_never_happened(tmp_path: Path) -> None:
    wanted, lines, _ = whole_search(tmp_path / "whole", "random", SPACE, 8)
    assert {proposal.status for proposal in wanted.proposals} >= {Status.STOPPED, Status.DIVERGED}
    for kept, line in enumerate(lines):
        for torn in (line[: len(line) // 2], line[:-1], b"\0" * 7):
            left = b"".join(lines[:kept]) + torn
            assert goes_on_alike(tmp_path / "cut", left, "random", SPACE, 8)[0] == wanted


def test_a_gaussian_process_resumes_identically(tmp_path: Path) -> None:
    wanted, lines, _ = whole_search(tmp_path / "whole", "gp", NUMBERS, 11)
    last = max(index for index, line in enumerate(lines) if b'"proposal"' in line)
    assert goes_on_alike(tmp_path / "cut", b"".join(lines[:last]), "gp", NUMBERS, 11)[0] == wanted


@pytest.mark.parametrize("parameters", [SPACE, COARSE])
@pytest.mark.parametrize("algorithm", ["tpe", "cmaes", "qmc"])
def test_two_workers_killed_again_and_again_train_nothing_twice(
    algorithm: Algorithm, parameters: Sequence[SearchParameter], tmp_path: Path
) -> None:
    dice = random.Random(1)  # noqa: S311
    trained: list[tuple[str, int]] = []
    proposals: list[object] = []
    for _ in range(200):
        search = open_search(tmp_path, settings(algorithm, parameters, 14), scheduler=HalfStops())
        assert params_of(search)[: len(proposals)] == proposals
        steps = dice.randrange(1, 25)
        trained += drive(search, num_workers=2, num_steps=steps)
        proposals = [*params_of(search)]
        if search.next() is None and all(proposal.status is not None for proposal in search.record.proposals):
            break
    else:
        pytest.fail("the search does not end")
    record = search.record
    assert len(trained) == len({*trained})
    keys = [proposal.config.trial_key for proposal in record.proposals if proposal.is_trained and proposal.config]
    assert len(keys) == len({*keys}) == 14
    reported = sum(len(proposal.reports) for proposal in record.proposals)
    assert len(trained) == reported
    assert running_numbers(search) == open_numbers(record)


def test_proposals_that_had_not_ended_come_first_and_in_order(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe"))
    given = [search.next() for _ in range(3)]
    again = open_search(tmp_path, settings("tpe"))
    assert [again.next() for _ in range(3)] == given
    following = again.next()
    assert following is not None
    assert following.number == 3


def test_impossible_proposals_are_not_asked_for_again(tmp_path: Path) -> None:
    search = open_search(tmp_path / "whole", settings("random", (LR,), 6), refuse_large_lr)
    drive(search)
    lines = (tmp_path / "whole" / LOG).read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) + 1):
        (tmp_path / LOG).write_bytes(b"".join(lines[:kept]))
        again = open_search(tmp_path, settings("random", (LR,), 6), refuse_large_lr)
        drive(again)
        assert again.record == search.record


def test_seconds_add_up_over_the_epochs_and_over_a_resume(tmp_path: Path) -> None:
    wanted = settings("random", (LR, BATCH_SIZE), 2, objectives=(ERROR, SECONDS))
    drive(open_search(tmp_path, wanted), num_steps=2)
    search = open_search(tmp_path, wanted)
    drive(search)
    for proposal in search.record.proposals:
        assert proposal.config is not None
        seconds = [report.values[1] for report in proposal.reports]
        assert seconds == pytest.approx([16 / proposal.config.batch_size * epoch for epoch in (1, 2, 3, 4)])


def test_the_number_of_trials_may_grow(tmp_path: Path) -> None:
    longer = open_search(tmp_path / "longer", settings("tpe", num_trials=15))
    drive(longer)
    drive(open_search(tmp_path, settings("tpe", num_trials=12)))
    search = open_search(tmp_path, settings("tpe", num_trials=15, confirm=ConfirmSpec(top=2)))
    assert len(drive(search)) == 3 * 4
    assert search.record.proposals == longer.record.proposals
    assert read_log(LocalJournal(tmp_path / LOG)).settings["num_trials"] == 15
    with pytest.raises(UserError, match="was begun with num_trials 15, which may grow: 14 is fewer"):
        open_search(tmp_path, settings("tpe", num_trials=14))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (settings(seed=1), "seed was 0 and is 1 now"),
        (settings("tpe"), "algorithm was 'random' and is 'tpe' now"),
        (settings(parameters=(LR, BATCH_SIZE)), "parameters.momentum is gone"),
        (settings(parameters=(*SPACE, NUMBERS[1])), "parameters.weight_decay is new"),
        (
            settings(parameters=(SearchParameter("lr", "float", 0.001, 2.0, log=True), *SPACE[1:])),
            "parameters.lr.high was 1.0 and is 2.0 now",
        ),
        (settings(trial={"defaults": {"epochs": 9}}), "defaults is new"),
        (settings(trial={"set": {"epochs": 9}}), "--set epochs=9 is new"),
    ],
)
def test_other_settings_are_refused_in_one_line(changed: object, told: str, tmp_path: Path) -> None:
    drive(open_search(tmp_path, settings()))
    before = (tmp_path / LOG).read_bytes()
    with pytest.raises(UserError) as caught:
        open_search(tmp_path, changed)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"search wide was begun with other settings: {told}; put that back, or give another --name "
        "(with warm_start: wide it begins with these results)"
    )
    assert (tmp_path / LOG).read_bytes() == before


def test_a_search_over_subsets_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    """Its trials were judged on different images."""
    wanted = settings(trial={"recipe_version": SHARED_HOLDOUT})
    drive(open_search(tmp_path, settings()))
    with pytest.raises(
        UserError, match=r"judged trials of different train_subset by different images: give .* --name"
    ):
        open_search(tmp_path, wanted)
    drive(open_search(tmp_path / "new", wanted), num_steps=2)
    drive(open_search(tmp_path / "new", wanted))


@pytest.mark.parametrize("algorithm", ["tpe", "cmaes", "qmc", "random"])
def test_a_search_with_earlier_results_resumes_identically_wherever_it_was_cut(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    earlier = [Earlier({"lr": 0.4 / i, "weight_decay": 0.001 * i}, (20.0 + i,)) for i in range(1, 6)]
    wanted = settings(algorithm, NUMBERS, 10)
    whole = open_search(tmp_path / "whole", wanted, scheduler=HalfStops(), earlier=earlier)
    drive(whole)
    lines = (tmp_path / "whole" / LOG).read_bytes().splitlines(keepends=True)
    for num_lines in range(1, len(lines), 5):
        folder = tmp_path / str(num_lines)
        folder.mkdir()
        (folder / LOG).write_bytes(b"".join(lines[:num_lines]))
        search = open_search(folder, wanted, scheduler=HalfStops())
        drive(search)
        assert search.record == whole.record


def test_earlier_results_stay_those_that_the_search_began_with(tmp_path: Path) -> None:
    earlier = [Earlier({"lr": 0.1, "batch_size": 16}, (12.0,))]
    drive(open_search(tmp_path, settings("tpe"), earlier=earlier), num_steps=3)
    search = open_search(
        tmp_path, settings("tpe"), earlier=[*earlier, Earlier({"lr": 0.2, "batch_size": 16}, (1.0,))]
    )
    assert search.record.earlier == tuple(earlier)
    assert search.sampler.num_earlier == 1


def test_a_damaged_line_is_reported_with_its_position(tmp_path: Path) -> None:
    _, lines, _ = whole_search(tmp_path, "random", SPACE, 5)
    for damaged in (b"{}\n", b"\0\0\0\n", lines[-1], lines[1].replace(b'"number":0', b'"number":7')):
        (tmp_path / LOG).write_bytes(b"".join([*lines[:4], damaged, *lines[5:]]))
        with pytest.raises(UserError, match=r"search\.jsonl:5 is damaged .*rebuilds the search"):
            read_log(LocalJournal(tmp_path / LOG))
        with pytest.raises(UserError, match=r"search\.jsonl:5 is damaged"):
            open_search(tmp_path, settings("random", SPACE, 5))


@pytest.mark.parametrize("damaged_line", [1, 5, 20])
def test_a_damaged_log_is_rebuilt_up_to_the_damage(damaged_line: int, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    folder = tmp_path / "wide"
    folder.mkdir()
    wanted, lines, _ = whole_search(folder, "random", SPACE, 8)
    whole = b"".join(lines)
    assert repair_log(store, "wide") == []
    for number in (1, 2):
        damaged = b"".join([*lines[: damaged_line - 1], b"\0" + lines[damaged_line - 1][1:], *lines[damaged_line:]])
        (folder / LOG).write_bytes(damaged)
        [note] = repair_log(store, "wide")
        assert note.startswith(f"{folder / LOG}:{damaged_line} is damaged (")
        assert note.endswith(f"rebuilt up to there; the damaged log is kept as {LOG}.damaged-{number}")
        assert (folder / f"{LOG}.damaged-{number}").read_bytes() == damaged
        assert (folder / LOG).read_bytes() == b"".join(lines[: damaged_line - 1])
        search = open_search(folder, settings("random", SPACE, 8), scheduler=HalfStops())
        drive(search, rough)
        assert search.record == wanted
        assert (folder / LOG).read_bytes() == whole


def test_a_proposal_of_unknown_parameters_is_damaged(tmp_path: Path) -> None:
    drive(open_search(tmp_path, settings("random", num_trials=2)))
    log = tmp_path / LOG
    log.write_bytes(without_checksums(log.read_bytes()).replace(b'"params":{"lr":', b'"params":{"ls":', 1))
    with pytest.raises(UserError, match=r"search\.jsonl:2 is damaged \(unknown parameters ls\)"):
        read_log(LocalJournal(log))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = open_search(tmp_path, settings("random"))
    search.next()
    before = (tmp_path / LOG).read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match="No space"):
            search.next()
    assert (tmp_path / LOG).read_bytes() == before


def test_the_log_holds_plain_events_in_order(tmp_path: Path) -> None:
    drive(open_search(tmp_path, settings("random", num_trials=1)))
    events = [json.loads(line) for line in without_checksums((tmp_path / LOG).read_bytes()).splitlines()]
    assert [event["event"] for event in events] == ["search", "proposal", *["report"] * 4, "end"]
    assert events[2].keys() == {"event", "number", "epoch", "values", "stop"}
    assert events[-1] == {"event": "end", "number": 0, "status": "COMPLETE", "values": events[-2]["values"]}


@pytest.mark.parametrize("algorithm", ["tpe", "cmaes"])
def test_two_hundred_proposals_are_rebuilt_in_two_seconds(algorithm: Algorithm, tmp_path: Path) -> None:
    quick = settings("random", NUMBERS, 200)
    drive(open_search(tmp_path, quick))
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    first = json.loads(without_checksums(lines[0]))
    first["settings"]["algorithm"] = algorithm
    (tmp_path / LOG).write_bytes(json.dumps(first).encode() + b"\n" + b"".join(lines[1:]))
    start = time.process_time()
    search = open_search(tmp_path, settings(algorithm, NUMBERS, 200))
    assert time.process_time() - start < 2
    assert len(search.sampler.study.get_trials()) == 200
