"""Checks of a finished search, whatever was killed while it ran: its log, study, trial folders and Parquet files."""

import collections
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from optuna.trial import TrialState

from results.store.configurations import best
from results.store.local_store import LocalStore
from results.store.search_log import (
    EVENT,
    EndEvent,
    ProposalEvent,
    RetryEvent,
    SearchRecord,
    all_finite,
    read_log,
)
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from sweep.search.opening import open_search, search_settings
from trainable.data.sources import load_dataset
from trainable.records import Purpose, Status

DATASET = "digits"
"""Data set of the searches that are checked."""
Row = Mapping[str, Any]


def problems(store_folder: Path, space: Path, overrides: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is wrong with the search of a space."""
    store, loaded = LocalStore(store_folder), load_space(str(space))
    maker = expand(loaded, overrides, None).search
    if maker is None:
        raise ValueError(f"{space} is not a search")
    log = store.search_log(loaded.name)
    before = log.read()
    data = load_dataset(DATASET, None)
    settings = search_settings(loaded.name, maker, dataset=data.name, fingerprint=data.fingerprint)
    search = open_search(store, settings, maker, data)
    yield from log_problems(before.splitlines())
    record = read_log(log)
    if log.read() != before or not search.is_over:
        yield "a driver that opens the finished search finds something to write or to do"
    states = [trial.state for trial in search.sampler.study.get_trials()[search.sampler.num_earlier :]]
    yield from study_problems(record, states)
    yield from folder_problems(record, [path.name for path in store.trials_folder.iterdir()])
    rows = [
        pq.read_table(store.sweep_folder(loaded.name) / name).to_pylist() for name in (TRIALS_PARQUET, EPOCHS_PARQUET)
    ]
    yield from row_problems(record, *rows)
    yield from confirmation_problems(record, rows[0])


def log_problems(lines: Sequence[bytes]) -> Iterator[str]:
    """Check that each proposal is there once, in order, and ends once, plus once for each time it was tried again."""
    events = [json.loads(line) for line in lines]
    proposed = [event["number"] for event in events if event[EVENT] == ProposalEvent.name]
    if proposed != list(range(len(proposed))):
        yield f"the proposals are {proposed}"
    ends = collections.Counter(event["number"] for event in events if event[EVENT] == EndEvent.name)
    ends.subtract(event["number"] for event in events if event[EVENT] == RetryEvent.name)
    for number in sorted({*proposed, *ends}):
        if ends[number] != 1:
            yield f"proposal {number} ended {ends[number]} times"


def study_problems(record: SearchRecord, states: Sequence[TrialState]) -> Iterator[str]:
    """Check that RUNNING is only what may be trained further, and PRUNED what was stopped or has no result."""
    if len(states) != len(record.proposals):
        yield f"the study has {len(states)} trials, the log {len(record.proposals)} proposals"
    for proposal, state in zip(record.proposals, states, strict=False):
        is_left = proposal.status is Status.FAILED and proposal.config is not None
        is_left |= proposal.status is Status.STOPPED and record.settings["scheduler"]["type"] == "promotion"
        has_result = proposal.status is Status.COMPLETE and all_finite(proposal.values) is not None
        is_stopped = proposal.status is not None and not is_left and not has_result
        if (state is TrialState.RUNNING) != is_left or (state is TrialState.PRUNED) != is_stopped:
            yield f"proposal {proposal.number} is {proposal.status} in the log and {state} in the study"


def folder_problems(record: SearchRecord, folders: Collection[str]) -> Iterator[str]:
    """Check that the store holds what was proposed or confirmed, and no more."""
    known = {
        proposal.config.trial_key
        for proposal in record.proposals
        if proposal.is_trained and proposal.config is not None
    }
    known |= {confirmation.config.trial_key for confirmation in record.confirmations}
    yield from (f"{key}: was not asked for" for key in sorted({*folders} - known))
    yield from (f"{key}: its folder is missing" for key in sorted(known - {*folders}))


def row_problems(record: SearchRecord, trials: Sequence[Row], epochs: Sequence[Row]) -> Iterator[str]:
    """Check that the Parquet files agree with the log, each held-out error to the last bit."""
    curves = collections.defaultdict(list)
    for row in epochs:
        curves[row["trial_key"]].append(row["holdout_error_percent"])
    rows = {row["proposal"]: row for row in trials if row["purpose"] == Purpose.SEARCH}
    trained = {proposal.number: proposal for proposal in record.proposals if proposal.is_trained}
    if rows.keys() != trained.keys() or len(rows) != sum(row["purpose"] == Purpose.SEARCH for row in trials):
        yield f"rows of the proposals {sorted(rows)} instead of {sorted(trained)}"
    for number in sorted(rows.keys() & trained.keys()):
        row, proposal = rows[number], trained[number]
        values = None if proposal.values is None else list(proposal.values)
        expected = {
            "status": proposal.status,
            "objective_values": values,
            "stopped_epoch": len(proposal.reports) if proposal.was_stopped else None,
            "epochs_done": len(proposal.reports),
        }
        for name, value in expected.items():
            if row[name] != value:
                yield f"proposal {number}: {name} is {row[name]} in its row, {value} in the log"
        if curves[row["trial_key"]] != [report.values[0] for report in proposal.reports]:
            yield f"proposal {number}: its epochs are not those that were reported"
        if proposal.status is Status.COMPLETE and row["epochs_done"] != row["epochs"]:
            yield f"proposal {number} is complete after {row['epochs_done']} of {row['epochs']} epochs"


def confirmation_problems(record: SearchRecord, trials: Sequence[Row]) -> Iterator[str]:
    """Check that the best configurations were chosen and trained once with each seed, to the end, on all images."""
    asked = record.settings["confirm"] or {"top": 0, "repeats": 0}
    chosen = [proposal.number for proposal in best(record)[: asked["top"]]]
    wanted = [(number, repeat) for number in chosen for repeat in range(asked["repeats"])]
    logged = [(confirmation.number, confirmation.repeat) for confirmation in record.confirmations]
    found = [row for row in trials if row["purpose"] == Purpose.CONFIRM]
    if logged != wanted or [(row["proposal"], row["repeat"]) for row in found] != wanted:
        yield f"confirmations of (proposal, repeat): {wanted} expected, {logged} in the log"
    for row in found:
        if row["status"] != Status.COMPLETE or row["holdout"] != 0 or row["epochs_done"] != row["epochs"]:
            yield f"{row['trial_key']}: the confirmation is {row['status']} after {row['epochs_done']} epochs"
