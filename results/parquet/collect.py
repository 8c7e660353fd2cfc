"""The rows of `trials` and `epochs`, made from the ledgers of a sweep's trials."""

import dataclasses
import json
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from results.parquet.schema import EPOCHS_SCHEMA, METADATA_PREFIX, SEARCH_METADATA, TRIALS_SCHEMA
from results.store.manifest import Manifest
from results.store.search_log import ProposalRecord, SearchRecord
from results.store.search_progress import num_to_come, planned_trials, search_record
from results.store.store import Store
from trainable.config import PlannedTrial
from trainable.ledger.reading import read_trial, trial_status
from trainable.records import (
    SCHEMA_VERSION,
    Attempt,
    EpochRecord,
    Purpose,
    Status,
    TrialFiles,
    TrialKey,
    TrialRow,
)

NUM_LAST_EPOCHS = 5
"""Number of epochs whose median error is a column."""
ORIGINS = ("code", "versions", "host", "device", "num_threads", "gpus", "precision_resolved", "execution")
"""Fields of an attempt that its numbers depend on."""
UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"
"""Start of a trial that lost the record of it; the column allows no null."""
Row = dict[str, Any]
Course = tuple[Status | None, int]
"""Status of a proposal in the log, and the number of its reports."""


class Collector:
    """Reads the trials of a sweep again and again; those that have ended are read only once."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._ended: dict[tuple[Path, int], tuple[Course | None, Row, pa.RecordBatch]] = {}
        """Rows of trainings that have ended, by folder and generation, with the course of proposals."""
        self.num_planned = 0
        """Number of trials at the last reading, including those that the search may still propose."""

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return `trials` and `epochs` as they are now, in the order of the plan.

        Trials that have not begun have no rows. The superseded trainings of a trial come before the one that counts.
        Trials of a search are those that its log names.

        Raises:
            UserError: the log of the search is damaged or lost.
        """
        record = search_record(self._store, self._manifest)
        planned = planned_trials(self._manifest, record)
        self.num_planned = len(planned) + num_to_come(record)
        keys = [trial.config.trial_key for trial in planned]
        courses = {trial.config.trial_key: _course(_proposal(record, trial)) for trial in planned}
        self._ended = {  # a trial that was stopped may have been promoted since
            training: ended
            for training, ended in self._ended.items()
            if ended[0] is None or ended[0] == courses.get(training[0].name)
        }
        trainings = self._store.trainings(keys, unchanged={folder.name for folder, _ in self._ended})
        trial_rows: list[Row] = []
        epoch_batches: list[pa.RecordBatch] = []
        for trial in planned:
            key = trial.config.trial_key
            newest = max(trainings[key])
            for number, folder in trainings[key].items():
                identity = TrialKey(self._manifest.name, key, number != newest, number)
                proposal = None if identity.superseded else _proposal(record, trial)
                rows = self._rows(trial, identity, folder, proposal)
                if rows is not None:
                    trial_rows.append(rows[0])
                    epoch_batches.append(rows[1])
        metadata = {
            METADATA_PREFIX + "schema_version": str(SCHEMA_VERSION),
            METADATA_PREFIX + "sweep": self._manifest.name,
            METADATA_PREFIX + "space": self._manifest.space,
            METADATA_PREFIX + "overrides": json.dumps(self._manifest.overrides),
            METADATA_PREFIX + "scale": self._manifest.scale or "",
            METADATA_PREFIX + "extends": json.dumps(self._manifest.extends),
            METADATA_PREFIX + "code": self._manifest.code,
            METADATA_PREFIX + "num_planned": str(len(planned)),
            METADATA_PREFIX + "versions": trial_rows[-1]["versions"] if trial_rows else "{}",
        }
        if record.settings:
            metadata[SEARCH_METADATA] = json.dumps(dict(record.settings))
        return (
            pa.Table.from_pylist(trial_rows, schema=TRIALS_SCHEMA.with_metadata(metadata)),
            pa.Table.from_batches(epoch_batches, schema=EPOCHS_SCHEMA.with_metadata(metadata)),
        )

    def _rows(
        self, trial: PlannedTrial, identity: TrialKey, folder: Path, proposal: ProposalRecord | None
    ) -> tuple[Row, pa.RecordBatch] | None:
        training = (folder, identity.generation)
        if training in self._ended:
            return self._ended[training][1:]
        files = read_trial(folder)
        if not files.attempts and not files.epochs and files.end is None:
            return None
        is_ended = trial_status(files).is_final
        if proposal is not None:
            is_ended = proposal.status is Status.STOPPED or (is_ended and proposal.status is not None)
            files = _up_to_stop(files, proposal)
        row = dataclasses.asdict(trial.config) | dataclasses.asdict(trial_row(identity, trial, files, proposal))
        row = {name: _encodable(value) for name, value in row.items()}
        epochs = epoch_rows(identity, files.epochs)
        if is_ended:
            self._ended[training] = (_course(proposal), row, epochs)
        return row, epochs


def _encodable(value: object) -> object:
    """Return a value that Parquet can hold: UTF-8 has no lone surrogates, which come from names of files."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _proposal(record: SearchRecord, trial: PlannedTrial) -> ProposalRecord | None:
    """Return what the log of the search says about this trial; None if it is not one of its proposals."""
    if trial.purpose is not Purpose.SEARCH or trial.proposal is None:
        return None
    return record.proposals[trial.proposal]


def _course(proposal: ProposalRecord | None) -> Course | None:
    return None if proposal is None else (proposal.status, len(proposal.reports))


def _up_to_stop(files: TrialFiles, proposal: ProposalRecord) -> TrialFiles:
    """Leave out what another sweep trained after this sweep's scheduler had stopped the trial."""
    if proposal.status is not Status.STOPPED:
        return files
    epochs = files.epochs[: _stopped_epoch(proposal)]
    last = max((record.attempt for record in epochs), default=1)  # none where a crash kept them out of a bucket
    return TrialFiles(files.config, epochs, [attempt for attempt in files.attempts if attempt.attempt <= last], None)


def _stopped_epoch(proposal: ProposalRecord | None) -> int | None:
    return proposal.reports[-1].epoch if proposal is not None and proposal.status is Status.STOPPED else None


def epoch_rows(identity: TrialKey, epochs: list[EpochRecord]) -> pa.RecordBatch:
    """Return the rows of `epochs` of one training; as columns, because a dict per row takes many times the memory."""
    columns = {name: [value] * len(epochs) for name, value in dataclasses.asdict(identity).items()}
    for spec in dataclasses.fields(EpochRecord):
        columns[spec.name] = [getattr(record, spec.name) for record in epochs]
    return pa.RecordBatch.from_pydict(columns, schema=EPOCHS_SCHEMA)


def trial_row(
    identity: TrialKey, trial: PlannedTrial, files: TrialFiles, proposal: ProposalRecord | None = None
) -> TrialRow:
    """Return the row of a training. If it diverged it has no final error, because its last weights mean nothing."""
    stopped_epoch = _stopped_epoch(proposal)
    status = trial_status(files) if stopped_epoch is None else Status.STOPPED
    epochs = files.epochs
    has_final_error = bool(epochs) and status is not Status.DIVERGED
    test = _error_summary([record.test_error_percent for record in epochs], has_final=has_final_error)
    holdout = _error_summary([record.holdout_error_percent for record in epochs], has_final=has_final_error)
    train_seconds = sum(record.train_seconds for record in epochs)
    eval_seconds = sum(record.eval_seconds for record in epochs)
    num_images = sum(record.images_per_second * record.train_seconds for record in epochs)
    end = files.end
    attempts = files.attempts or [_unknown_attempt(end.end_time if end else UNKNOWN_TIME)]
    first_attempt, attempt = attempts[0], attempts[-1]
    return TrialRow(
        **dataclasses.asdict(identity),
        repeat=trial.repeat,
        variables=json.dumps(dict(trial.variables), sort_keys=True),
        purpose=trial.purpose.value,
        proposal=trial.proposal,
        status=status.value,
        epochs_done=len(epochs),
        stopped_epoch=stopped_epoch,
        objective_values=proposal.values if proposal is not None else None,
        test_error_percent=test.final,
        test_error_percent_last5=test.median_of_last,
        best_test_error_percent=test.best,
        best_test_epoch=test.best_epoch,
        holdout_error_percent=holdout.final,
        holdout_error_percent_last5=holdout.median_of_last,
        best_holdout_error_percent=holdout.best,
        best_holdout_epoch=holdout.best_epoch,
        train_loss=epochs[-1].train_loss if epochs else None,
        train_seconds=train_seconds,
        eval_seconds=eval_seconds,
        total_seconds=train_seconds + eval_seconds,
        images_per_second=num_images / train_seconds if train_seconds else None,
        peak_memory_bytes=end.peak_memory_bytes if end else None,
        attempts=len(files.attempts),
        attempts_differ=_differences(files),
        damage="; ".join([*(attempt.damage for attempt in files.attempts if attempt.damage), *files.damage]) or None,
        error=end.error if end else None,
        host=attempt.host,
        device=attempt.device,
        num_threads=attempt.num_threads,
        gpus=attempt.gpus,
        precision_resolved=attempt.precision_resolved,
        execution=attempt.execution,
        versions=json.dumps(attempt.versions, sort_keys=True),
        code=attempt.code,
        start_time=datetime.fromisoformat(first_attempt.start_time),
        end_time=datetime.fromisoformat(end.end_time) if end else None,
        test_correct_bits=bytes.fromhex(end.test_correct_bits) if end and end.test_correct_bits else None,
    )


def _differences(files: TrialFiles) -> str | None:
    """Return the fields in which the attempts that trained the epochs differ, with their values, as JSON."""
    counted = {record.attempt for record in files.epochs}
    differing: dict[str, list[Any]] = {}
    for name in ORIGINS:
        values: list[Any] = []
        for attempt in files.attempts:
            value = getattr(attempt, name)
            if attempt.attempt in counted and value not in values:
                values.append(value)
        if len(values) > 1:
            differing[name] = values
    return json.dumps(differing, sort_keys=True) if differing else None


def _unknown_attempt(time: str) -> Attempt:
    """Return a stand-in for the attempts of a trial that lost the record of them."""
    return Attempt(
        0,
        time,
        run_id="",
        host="",
        device="",
        num_threads=0,
        precision_resolved="",
        versions={},
        code="",
        execution="",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _ErrorSummary:
    """Errors of one training on one set of images, in percent; None if there are none."""

    final: float | None
    median_of_last: float | None
    best: float | None
    best_epoch: int | None


def _error_summary(errors: list[float | None], *, has_final: bool) -> _ErrorSummary:
    """Sum up the errors after each epoch. Of several smallest errors the earliest is the best."""
    known = [(error, epoch) for epoch, error in enumerate(errors, start=1) if error is not None]
    best, best_epoch = min(known, default=(None, None))
    last = [error for error, _ in known[-NUM_LAST_EPOCHS:]]
    median = statistics.median(last) if last and has_final else None
    return _ErrorSummary(errors[-1] if has_final else None, median, best, best_epoch)
