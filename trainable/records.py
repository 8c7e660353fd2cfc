"""The records of a trial: this module defines every record key and column name. It uses the standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from trainable.decoding import Count, HexDigits, NotNegative, Ordinal, Percent, Rate, Seconds, Timestamp

SCHEMA_VERSION = 6
PUBLISHED_MODEL = "published_model"
PUBLISHED_EPOCHS = "published_epochs"
PUBLISHED_BATCH_SIZE = "published_batch_size"
PUBLISHED_GHOST_BATCH_SIZE = "published_ghost_batch_size"
"""Names of the variables of a scaled-down trial that hold the full-scale values it stands for."""


class Status(StrEnum):
    """The state of a trial."""

    COMPLETE = "COMPLETE"
    """All epochs are trained."""
    STOPPED = "STOPPED"
    """A scheduler ended the trial early."""
    DIVERGED = "DIVERGED"
    """The trial ended at a loss that is not finite."""
    FAILED = "FAILED"
    """An exception ended the trial; the next run tries again."""
    INCOMPLETE = "INCOMPLETE"
    """The trial is running or was interrupted; the next run resumes it."""

    @property
    def is_final(self) -> bool:
        """True if a further run has nothing left to train."""
        return self in (Status.COMPLETE, Status.STOPPED, Status.DIVERGED)


class Purpose(StrEnum):
    """The reason why a sweep holds a trial."""

    PLANNED = "planned"
    """The space lists the trial, as a row or as a point of a grid."""
    SEARCH = "search"
    """The search proposed the trial."""
    CONFIRM = "confirm"
    """The trial retrains a configuration that the search chose, on all training images."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of one trial: a line of `epochs.jsonl` and, with sweep and trial_key, a row of `epochs`."""

    epoch: Ordinal
    """Number of epochs done, this one included; the first is 1."""
    step: Count
    """Number of optimiser steps since the start of the training, up to the end of this epoch."""
    lr: NotNegative
    """Learning rate of the last step of the epoch."""
    train_loss: float | None
    """Mean cross entropy (nats) over the training images of the epoch, measured while the weights change. None if it
    is not finite."""
    train_error_percent: Percent | None
    """Error on the augmented training images, in percent, measured while the weights change."""
    holdout_loss: float | None
    """Mean cross entropy (nats) on the held-out training images after the epoch. None if no images are held out, if
    it is not finite, or if the training loss was not."""
    holdout_error_percent: Percent | None
    """Error on the held-out training images after the epoch, in percent. None if no images are held out, or if the
    training loss was not finite."""
    test_loss: float | None
    """Mean cross entropy (nats) on the test images after the epoch. None if it is not finite, or if the training loss
    was not."""
    test_error_percent: Percent | None
    """Error on the test images after the epoch, in percent. None if the training loss was not finite."""
    train_seconds: Seconds
    """Time of training in this epoch, in seconds, without evaluation and checkpoints."""
    eval_seconds: Seconds
    """Time of evaluating the held-out and the test images after this epoch, in seconds."""
    images_per_second: Rate
    """Number of training images processed per second of `train_seconds`."""
    gradient_norm: NotNegative | None
    """L2 norm of the gradient over all parameters at the last step of the epoch, without weight decay, after
    clipping. None if it is not finite."""
    attempt: Ordinal
    """Number of the attempt that trained this epoch. Each process that works on a trial is an attempt; the first is
    1."""
    noise_scale: NotNegative | None = None
    """Gradient noise scale in images: `gradient_variance` / `gradient_square` (McCandlish et al. 2018, appendix A.1).
    Every 80th step is measured, from the 41st step of the training on, so one epoch says little: divide the sums of
    the two columns over several. None without `noise_scale: true`, with a CUDA graph, if no step of the epoch was
    measured or if `gradient_square` is not above 0."""
    gradient_variance: NotNegative | None = None
    """Trace of the covariance of one image's gradient, mean over the measured steps of the epoch, before clipping and
    without weight decay. None like `noise_scale`, but for the last reason."""
    gradient_square: float | None = None
    """Squared L2 norm of the true gradient, estimated without bias as the product of the gradients of a batch's two
    halves, mean over the measured steps of the epoch. It may be negative. None like `gradient_variance`."""


KeepWeights = Literal["none", "best", "all"]
"""Names the completed trials whose weights a sweep keeps."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The work of one process on a trial: a line of `attempts.jsonl`."""

    attempt: Ordinal
    """Number of the attempt; the first is 1."""
    start_time: Timestamp
    """Time at which the attempt began, in UTC (ISO 8601)."""
    run_id: str
    """Identifier of the driver's run that the attempt belongs to."""
    host: str
    """Host name of the machine."""
    device: str
    """Name of the device, for example 'NVIDIA H100 80GB HBM3' or the name of the processor."""
    num_threads: Count
    """Number of CPU threads that torch uses."""
    precision_resolved: str
    """Number format of the training: bf16, fp16, tf32, fp32 or pure_fp16."""
    versions: dict[str, str]
    """Versions of Python and of the packages that matter, by package."""
    code: str
    """Identity of the source code (see `provenance.code_identity`)."""
    execution: str = "eager"
    """How the training steps ran: eager, graph, compiled eager or compiled graph, with `fused` before if our CPU
    kernel computed batch normalisation, with `streams` if other trials trained in the same process, and for own
    models perhaps with `autocast (LAYER)`."""
    sweep: str | None = None
    """Name of the sweep whose driver started the attempt; None if the trial was trained alone, by `train`."""
    damage: str | None = None
    """Files of the trial that the attempt found damaged, and the epoch from which it resumed; None if there were
    none."""
    gpus: NotNegative | None = None
    """Number of GPUs given to the attempt, below 1 for a share of one GPU; None if it is unknown."""
    node: str | None = None
    """IP address of the node in the Ray cluster; None without Ray."""


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """How a trial ended: the content of `result.json`, which exists only for trials that have ended."""

    status: Status
    """Final state of the trial, or FAILED."""
    epochs_done: Count
    """Number of epochs on record."""
    end_time: Timestamp
    """Time at which the trial ended, in UTC (ISO 8601)."""
    run_id: str
    """Identifier of the driver's run in which the trial ended."""
    error: str | None = None
    """One line about the error; None unless the trial failed."""
    peak_memory_bytes: Count | None = None
    """Peak memory of the attempt in which the trial ended, in bytes: resident in the process (CPU) or allocated on
    the GPU. None if it is unknown."""
    test_correct_bits: HexDigits | None = None
    """One bit per test image after the last epoch, in hexadecimal: 1 if the image was classified correctly. The first
    image is the highest bit. None if the last epoch was not evaluated."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a session reports about its trial after a step, or the driver about a trial whose process died."""

    record: EpochRecord | None
    """The epoch that was replayed or trained; None if the trial failed before it had one."""
    status: Status
    """State of the trial after that epoch."""
    replayed: bool
    """Whether the report was read from the ledger instead of trained now."""
    error: str | None = None
    """One line about the error; None unless the trial failed."""
    note: str | None = None
    """A message for the user that is reported only once; None if there is none."""
    store_trouble: str | None = None
    """Why no trial can be recorded any more, which ends the run; None while that is possible."""

    @property
    def ended(self) -> bool:
        """Whether the trial has ended, for good or by a failure."""
        return self.status is not Status.INCOMPLETE

    @property
    def is_on_record(self) -> bool:
        """Whether the trial has ended and a ledger holds that end.

        A failure is on record if it was read from the ledger; otherwise the ledger could not be opened.
        """
        return self.ended and (self.status is not Status.FAILED or self.replayed)


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of `trials`, except for the columns that hold the fields of TrainConfig (see results.parquet.schema)."""

    sweep: str
    """Name of the sweep."""
    trial_key: str
    """Identifier of the trial: the first 16 hexadecimal digits of the SHA-256 of its configuration. Equal keys mean
    the same training."""
    superseded: bool
    """True if `run --again` has replaced this training by a newer one. Tables and figures leave it out."""
    generation: Ordinal
    """Training number of the trial in this store: 1 for the first training, 2 for the one that superseded it, and so
    on."""
    repeat: Count
    """Number of the repeat: 0 for the first seed of a configuration, 1 for the second, and so on."""
    variables: str
    """Values that `derive` used besides the fields of the configuration, for example base_lr, as a JSON object."""
    purpose: str
    """Why the sweep holds the trial: planned (the space lists it), search (the search proposed it) or confirm (the
    search chose its configuration, which is trained again on all training images)."""
    proposal: Count | None
    """Number, from 0, of the search's proposal that this trial trains or confirms. None if the trial was planned."""
    status: str
    """State of the trial: COMPLETE, STOPPED (by this sweep's scheduler), DIVERGED, FAILED or INCOMPLETE."""
    epochs_done: Count
    """Number of epochs trained. Epochs that an interrupted process trained and lost are not counted."""
    stopped_epoch: Count | None
    """Epoch after which this sweep's scheduler stopped the trial; this row and the trial's epochs end there. None if
    it was not stopped."""
    objective_values: tuple[float | None, ...] | None
    """Values of the search's objectives at the end of this proposal, one per objective. None if the trial is no
    proposal or has no values yet."""
    test_error_percent: Percent | None
    """Error on the test images after the last epoch, in percent; published tables report this figure. None if the
    trial diverged or has no epoch yet."""
    test_error_percent_last5: Percent | None
    """Median of the test errors of the last five epochs, in percent. None if the trial diverged or has no epoch
    yet."""
    best_test_error_percent: Percent | None
    """Smallest test error of all epochs, in percent. It is selected on the test images, so do not compare it with
    published errors. None if no epoch has a test error."""
    best_test_epoch: Ordinal | None
    """Epoch of the smallest test error, the earliest among equals. None if no epoch has a test error."""
    holdout_error_percent: Percent | None
    """Error on the held-out training images after the last epoch, in percent. None if no images are held out, the
    trial diverged or it has no epoch yet."""
    holdout_error_percent_last5: Percent | None
    """Median of the held-out errors of the last five epochs, in percent. None if no images are held out, the trial
    diverged or it has no epoch yet."""
    best_holdout_error_percent: Percent | None
    """Smallest held-out error of all epochs, in percent. None if no epoch has a held-out error."""
    best_holdout_epoch: Ordinal | None
    """Epoch of the smallest held-out error, the earliest among equals. None if no epoch has a held-out error."""
    train_loss: float | None
    """Mean cross entropy (nats) over the training images of the last epoch, measured while the weights change. None
    if it is not finite or the trial has no epoch yet."""
    train_seconds: Seconds
    """Time of training, in seconds: the sum over all epochs done, without evaluation, start-up and checkpoints."""
    eval_seconds: Seconds
    """Time of evaluating held-out and test images, in seconds: the sum over all epochs done."""
    total_seconds: Seconds
    """Time of training and evaluation, in seconds: train_seconds + eval_seconds."""
    images_per_second: Rate | None
    """Number of training images processed per second of `train_seconds`. None if the trial has no epoch yet."""
    peak_memory_bytes: Count | None
    """Peak memory of the attempt in which the trial ended, in bytes: resident in the process (CPU) or allocated on
    the GPU. None if it is unknown or the trial has not ended."""
    attempts: Count
    """Number of processes that have worked on the trial; 1 if it was never interrupted."""
    attempts_differ: str | None
    """Properties (code, versions, device and the like) in which the attempts differ that trained the epochs, as a
    JSON object from property to its values in order. None if they do not differ."""
    damage: str | None
    """Files of the trial that were found damaged, and the epoch from which it resumed. None if there were none."""
    error: str | None
    """One line about the error that ended the trial. None unless it failed."""
    host: str
    """Host name of the machine that ran the last attempt."""
    device: str
    """Name of the device of the last attempt, for example 'NVIDIA H100 80GB HBM3' or the name of the processor."""
    num_threads: Count
    """Number of CPU threads of the last attempt. Results on a CPU depend on it."""
    gpus: NotNegative | None
    """Number of GPUs given to the last attempt, below 1 for a share of one GPU. None if it is unknown."""
    precision_resolved: str
    """Number format in which the last attempt trained: bf16, fp16, tf32, fp32 or pure_fp16."""
    execution: str
    """How the training steps of the last attempt ran: eager, graph (a CUDA graph), compiled eager or compiled
    graph. `fused` comes before if our CPU kernel computed batch normalisation and ReLU. `streams` follows if other
    trials trained in the same process, on CUDA streams; `autocast (LAYER)` if an own model was trained by
    torch.autocast in mixed precision because of that layer or operation, instead of with weights that are rounded
    once per step."""
    versions: str
    """Versions of Python and of the packages that matter in the last attempt, as a JSON object."""
    code: str
    """Identity of the source code of the last attempt: the git commit and a hash of the training source."""
    start_time: datetime
    """Time at which the first attempt began, in UTC."""
    end_time: datetime | None
    """Time at which the trial ended, in UTC. None if it has not ended, or if the scheduler stopped it (another sweep
    may resume it)."""
    test_correct_bits: bytes | None
    """One bit per test image after the last epoch: 1 if the image was classified correctly. The first image is the
    highest bit of the first byte. None if the trial has not ended, was stopped or failed, or its last epoch was not
    evaluated."""


@dataclass(frozen=True, slots=True)
class TrialKey:
    """The columns that connect a row of `epochs` with its trial."""

    sweep: str
    """Name of the sweep."""
    trial_key: str
    """Identifier of the trial, as in `trials`."""
    superseded: bool
    """True if `run --again` has replaced this training by a newer one, as in `trials`."""
    generation: Ordinal
    """Training number of the trial in this store, as in `trials`. Sweep, trial_key and generation identify one
    training."""


@dataclass(slots=True)
class TrialFiles:
    """The content of a trial's folder."""

    config: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    end: TrialEnd | None = None
    damage: list[str] = field(default_factory=list)
    """Files that do not hold what was written, with the line: `epochs.jsonl:3`. A torn last epoch is no damage."""

    @property
    def epochs_done(self) -> int:
        return len(self.epochs)


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """The content of a trial's folder, with the number of its epochs in place of the epochs."""

    config: dict[str, Any]
    epochs_done: int
    end: TrialEnd | None
    attempts: list[Attempt]
    test_error_percent: float | None = None
    """Test error after the last epoch; None if there is no epoch or it diverged."""
    damage: Sequence[str] = ()
    """Files that do not hold what was written, as in `TrialFiles`."""
    holdout_error_percent: float | None = None
    """Error on the held-out images after the last epoch; None if none are held out, too."""

    @property
    def ranking_error(self) -> float | None:
        """The error by which trials are ranked: on held-out images or, if none are held out, on test images."""
        return self.test_error_percent if self.holdout_error_percent is None else self.holdout_error_percent
