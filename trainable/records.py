"""The rows that a trial leaves: every record key and column name, in this one module. Standard library only."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1


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
    train_error_percent: float | None
    """On the augmented images, while the weights change."""
    holdout_loss: float | None
    holdout_error_percent: float | None
    test_loss: float | None
    test_error_percent: float | None
    train_seconds: float
    eval_seconds: float
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

    @property
    def ended(self) -> bool:
        return self.status is not Status.INCOMPLETE


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of `trials`, apart from the columns that hold the fields of TrainConfig (see results.schema)."""

    sweep: str
    trial_key: str
    repeat: int
    variables: str
    """JSON: what `derive` was fed with beside the config's fields."""
    status: str
    epochs_done: int
    test_error_percent: float | None
    """At the last epoch: what the published tables report. None where the trial diverged."""
    test_error_percent_last5: float | None
    """Median over the last five epochs."""
    best_test_error_percent: float | None
    """Smallest over the epochs: selected on the test set, never to be compared with a published error."""
    best_test_epoch: int | None
    holdout_error_percent: float | None
    holdout_error_percent_last5: float | None
    best_holdout_error_percent: float | None
    best_holdout_epoch: int | None
    train_loss: float | None
    train_seconds: float
    eval_seconds: float
    total_seconds: float
    """Training and evaluation of all epochs that count; start-up and checkpoints apart."""
    images_per_second: float | None
    """Training images over `train_seconds`, the whole trial."""
    peak_memory_bytes: int | None
    attempts: int
    error: str | None
    host: str
    device: str
    num_threads: int
    precision_resolved: str
    versions: str
    """JSON: package -> version."""
    code: str
    start_time: datetime
    end_time: datetime | None
    test_correct_bits: bytes | None


@dataclass(frozen=True, slots=True)
class TrialKey:
    """The columns that tie a row of `epochs` to its trial."""

    sweep: str
    trial_key: str


@dataclass(slots=True)
class TrialFiles:
    """What a trial's folder holds, read back."""

    config: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    end: TrialEnd | None = None
