"""Train a recorded trial again, without a ledger, and compare the outcome with the record bit for bit."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import device_name, prepare_device
from trainable.errors import UserError
from trainable.execution import Execution
from trainable.ledger.files import EPOCHS, RESULT, WEIGHTS
from trainable.ledger.safetensors import StoredWeights
from trainable.records import Attempt, EpochRecord, TrialFiles
from trainable.saved_weights import saved_weights
from trainable.splits import prepare
from trainable.training import EpochOutcome, Training

MEASURED = ("train_seconds", "eval_seconds", "images_per_second", "attempt")
"""Fields of an epoch that are not the same when it is trained again."""
WITHOUT_EFFECT = ("ray",)
"""Packages whose version changes no result."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """What came out when a trial was trained again."""

    has_weights: bool
    """Whether the kept weights were compared, too."""
    file: str
    """The file that holds the first difference; empty if everything is equal."""
    difference: str
    """The first difference in words; empty if there is none."""
    other_execution: list[str]
    """What differs from the recorded execution: `torch 2.12 then, 2.13 now`; empty if nothing does."""


def repeat(config: TrainConfig, data: ImageData, recorded: TrialFiles, weights: StoredWeights | None) -> Repetition:
    """Train the recorded epochs again in this process, with as many threads as they had, up to the first difference.

    Args:
        data: the data set that the trial was trained on.
        recorded: records of the trial, without damage, with at least one attempt.
        weights: the weights after its last epoch; None if they are not kept.

    Raises:
        UserError: it was trained on a GPU, and there is none here.
        UserCodeError: the user's model or loss failed.
    """
    last = recorded.attempts[-1]
    use_gpu = torch.cuda.is_available() if last.gpus is None else last.gpus > 0
    if use_gpu and not torch.cuda.is_available():
        raise UserError(f"it was trained on {last.device}, and torch finds no GPU here")
    attempts = {attempt.attempt: attempt for attempt in recorded.attempts}
    device = prepare_device(max(1, last.num_threads), use_gpu=use_gpu)
    training = Training(config, prepare(data, config, device), device, Execution.parse(last.execution))
    counted = {record.attempt for record in recorded.epochs}
    other = [
        text
        for number in sorted(counted)
        for text in _other_execution(attempts.get(number, last), training, device_name(device))
    ]
    outcome: EpochOutcome | None = None
    for record in recorded.epochs:
        torch.set_num_threads(max(1, attempts.get(record.attempt, last).num_threads))
        outcome = training.run_epoch(record.attempt)
        if difference := _epoch_difference(record, outcome.record):
            return Repetition(False, EPOCHS, difference, list(dict.fromkeys(other)))
    file, difference = _end_difference(recorded, outcome, training, weights)
    return Repetition(weights is not None, file, difference, list(dict.fromkeys(other)))


def _epoch_difference(recorded: EpochRecord, now: EpochRecord) -> str:
    for spec in dataclasses.fields(EpochRecord):
        then, value = getattr(recorded, spec.name), getattr(now, spec.name)
        if spec.name not in MEASURED and then != value:
            return f"epoch {recorded.epoch}, {spec.name}: holds {then!r}, trained {value!r}"
    return ""


def _end_difference(
    recorded: TrialFiles, outcome: EpochOutcome | None, training: Training, weights: StoredWeights | None
) -> tuple[str, str]:
    """Return the file and the first difference of what is recorded at the end of a training."""
    bits = recorded.end.test_correct_bits if recorded.end else None
    if bits is not None and outcome is not None and outcome.test_correct_bits != bits:
        return RESULT, "test_correct_bits: other test images are classified correctly"
    if weights is not None:
        now = saved_weights(training, None).tensors
        for name in sorted({*now, *weights.tensors}):
            if now.get(name) != weights.tensors.get(name):
                return WEIGHTS, f"tensor {name}: holds other bits than were trained"
    return "", ""


def _other_execution(attempt: Attempt, training: Training, device: str) -> Iterator[str]:
    """Yield in what way an attempt was executed otherwise than this process does."""
    now: Mapping[str, str] = {
        "device": device,
        "number format": training.precision.name,
        "execution": str(training.execution),
        "training code": provenance.source_hash(),
        **provenance.versions(),
    }
    then: Mapping[str, str] = {
        "device": attempt.device,
        "number format": attempt.precision_resolved,
        "execution": attempt.execution,
        "training code": attempt.code.rpartition("/")[2],
        **attempt.versions,
    }
    for name, value in now.items():
        if name not in WITHOUT_EFFECT and then.get(name, "") != value:
            yield f"{name} {then.get(name) or 'unknown'} then, {value or 'none'} now"
