"""The rows that a trial leaves: every record key and column name, in this one module. Standard library only."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 4
PUBLISHED_MODEL = "published_model"
PUBLISHED_EPOCHS = "published_epochs"
PUBLISHED_BATCH_SIZE = "published_batch_size"
"""Variables of a scaled-down trial: the full-scale values that it stands for."""


class Status(StrEnum):
    """How a trial stands."""

    COMPLETE = "COMPLETE"
    STOPPED = "STOPPED"
    """Ended early by a scheduler."""
    DIVERGED = "DIVERGED"
    """Ended at a loss that is not finite."""
    FAILED = "FAILED"
    """Ended by an exception; trained again at the next run."""
    INCOMPLETE = "INCOMPLETE"
    """Under way, or interrupted: gone on with at the next run."""

    @property
    def is_final(self) -> bool:
        """True where a further run has nothing left to do."""
        return self in (Status.COMPLETE, Status.STOPPED, Status.DIVERGED)


class Purpose(StrEnum):
    """Why a sweep holds a trial."""

    PLANNED = "planned"
    """Its space lists it: a row, or a point of a grid."""
    SEARCH = "search"
    """Proposed by the search's algorithm."""
    CONFIRM = "confirm"
    """A configuration that the search chose, trained again on all of the training images."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of one trial; a line of `epochs.jsonl` and, with sweep and trial_key, a row of `epochs`.

    Errors are percentages in [0, 100], losses mean cross entropies in nats; None where a figure is not
    finite or no image was held out.
    """

    epoch: int
    """Epochs done after this one: the first is 1."""
    step: int
    """Optimiser steps done after this epoch."""
    lr: float
    """Learning rate of the epoch's last step."""
    train_loss: float | None
    """Mean over the epoch's images, while the weights change."""
    train_error_percent: float | None
    """On the augmented images, while the weights change."""
    holdout_loss: float | None
    """On the held-out images, after the epoch."""
    holdout_error_percent: float | None
    """On the held-out images, after the epoch."""
    test_loss: float | None
    """On the test images, after the epoch."""
    test_error_percent: float | None
    """On the test images, after the epoch."""
    train_seconds: float
    """Of training alone."""
    eval_seconds: float
    """Of the evaluations on held-out and test images."""
    images_per_second: float
    """Training images over `train_seconds`."""
    gradient_norm: float | None
    """L2 norm of the gradient over all parameters at the epoch's last step."""
    attempt: int
    """1 for the first process that worked on the trial, 2 for the next, ..."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process's work on a trial: a line of `attempts.jsonl`."""

    attempt: int
    start_time: str
    """UTC, ISO 8601."""
    run_id: str
    """The run of the driver that this attempt belongs to."""
    host: str
    device: str
    """As the device names itself, for example 'NVIDIA H100 80GB HBM3' or the processor's name."""
    num_threads: int
    precision_resolved: str
    versions: dict[str, str]
    """Package -> version, Python included."""
    code: str
    """Identity of the source: `provenance.code_identity`."""
    execution: str = "eager"
    """How the steps ran: eager, graph, compiled eager or compiled graph."""
    sweep: str | None = None
    """The sweep whose driver it worked for; None where it was trained alone, by `train`."""
    damage: str | None = None
    """Which of the trial's files this attempt found damaged, and from where it went on."""
    gpus: float | None = None
    """The share of a GPU that it was given, or whole ones; None where nobody kept count."""
    node: str | None = None
    """IP address of its node of the Ray cluster; None without Ray."""


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """How a trial ended: the whole of `result.json`, which exists only then."""

    status: Status
    epochs_done: int
    end_time: str
    """UTC, ISO 8601."""
    run_id: str
    error: str | None = None
    """One line, FAILED only."""
    peak_memory_bytes: int | None = None
    """Of the process (CPU) or of its share of the GPU, since the trial's attempt began."""
    test_correct_bits: str | None = None
    """Hex; one bit a test image at the last epoch, first image = highest bit, 1 where it was right."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a session, or the driver for a process that died, tells of a trial."""

    record: EpochRecord | None
    """The epoch, replayed or trained; None only where a trial failed outside of one."""
    status: Status
    """How the trial stands after it."""
    replayed: bool
    error: str | None = None
    note: str | None = None
    """What else a person should be told, once."""

    @property
    def ended(self) -> bool:
        return self.status is not Status.INCOMPLETE

    @property
    def is_on_record(self) -> bool:
        """Whether a ledger holds the end that is told; a failure is told from there, or no ledger could be opened."""
        return self.ended and (self.status is not Status.FAILED or self.replayed)


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of `trials`, apart from the columns that hold the fields of TrainConfig (see results.parquet.schema)."""

    sweep: str
    """Name of the sweep."""
    trial_key: str
    """First 16 hex digits of the SHA-256 of the configuration: equal keys are the same training."""
    superseded: bool
    """True where `run --again` has put a newer training in this one's place: tables and figures leave it out."""
    generation: int
    """1 for the first training of the configuration, 2 for the one that superseded it, ..."""
    repeat: int
    """0 for the first seed of a configuration, 1 for the second, ..."""
    variables: str
    """JSON: what `derive` was fed with beside the config's fields."""
    purpose: str
    """planned (its space lists it), search (proposed by it) or confirm (chosen by it, trained on all of train)."""
    proposal: int | None
    """Number of the search's proposal, from 0, that this is or confirms; None where nothing was searched."""
    status: str
    """COMPLETE, STOPPED (by this sweep's scheduler), DIVERGED, FAILED or INCOMPLETE."""
    epochs_done: int
    """Epochs that count."""
    stopped_epoch: int | None
    """The epoch after which this sweep's scheduler stopped it; its row and epochs end there. None: not stopped."""
    objective_values: tuple[float | None, ...] | None
    """What steered the search, one value an objective, at the proposal's end; None where it has none."""
    test_error_percent: float | None
    """At the last epoch: what the published tables report. None where the trial diverged."""
    test_error_percent_last5: float | None
    """Median over the last five epochs."""
    best_test_error_percent: float | None
    """Smallest over the epochs: selected on the test set, never to be compared with a published error."""
    best_test_epoch: int | None
    """The epoch of the best test error, the earliest among equals."""
    holdout_error_percent: float | None
    """On the held-out images at the last epoch; None where none are held out."""
    holdout_error_percent_last5: float | None
    """Median over the last five epochs."""
    best_holdout_error_percent: float | None
    """Smallest over the epochs."""
    best_holdout_epoch: int | None
    """The epoch of the best error on the held-out images."""
    train_loss: float | None
    """Of the last epoch."""
    train_seconds: float
    """Of training alone, all epochs that count."""
    eval_seconds: float
    """Of the evaluations, all epochs that count."""
    total_seconds: float
    """Training and evaluation of all epochs that count; start-up and checkpoints apart."""
    images_per_second: float | None
    """Training images over `train_seconds`, the whole trial."""
    peak_memory_bytes: int | None
    """Of the last attempt: of the process (CPU) or of its share of the GPU."""
    attempts: int
    """Processes that worked on the trial."""
    attempts_differ: str | None
    """JSON: what the attempts whose epochs count do not share (code, versions, ...) -> its values in order."""
    damage: str | None
    """Files of the trial that were found damaged, and from where it went on; None where none was."""
    error: str | None
    """One line, FAILED only."""
    host: str
    """Of the last attempt."""
    device: str
    """Of the last attempt, as the device names itself."""
    num_threads: int
    """Of the last attempt; results on the CPU depend on it."""
    gpus: float | None
    """Share of a GPU that the last attempt was given, or whole ones; None where nobody kept count."""
    precision_resolved: str
    """What the device of the last attempt trained in: bf16, fp16, tf32 or fp32."""
    execution: str
    """How the steps of the last attempt ran: eager, graph (CUDA), compiled eager or compiled graph."""
    versions: str
    """JSON: package -> version."""
    code: str
    """git commit / hash of the training source, of the last attempt."""
    start_time: datetime
    """UTC, of the first attempt."""
    end_time: datetime | None
    """UTC; None while the trial has not ended, and where it was stopped: another sweep may go on with it."""
    test_correct_bits: bytes | None
    """One bit a test image at the last epoch, first image = highest bit of the first byte, 1 = right."""


@dataclass(frozen=True, slots=True)
class TrialKey:
    """The columns that tie a row of `epochs` to its trial."""

    sweep: str
    """Name of the sweep."""
    trial_key: str
    """The trial's key, as in `trials`."""
    superseded: bool
    """As in `trials`: True where a newer training has taken the place of this one."""
    generation: int
    """As in `trials`: with sweep and trial_key it names one training."""


@dataclass(slots=True)
class TrialFiles:
    """What a trial's folder holds, read back."""

    config: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    end: TrialEnd | None = None

    @property
    def epochs_done(self) -> int:
        return len(self.epochs)


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """What a trial's folder holds, except for its epochs."""

    config: dict[str, Any]
    epochs_done: int
    end: TrialEnd | None
    attempts: list[Attempt]
