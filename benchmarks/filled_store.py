"""A store as a finished sweep leaves it, written by the ledger itself with figures drawn at random."""

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from results.store.store import Store, new_manifest
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.ledger import Ledger
from trainable.records import Attempt, EpochRecord, Status, TrialEnd

SWEEP = "filled"
DATASET = "digits"
STEPS_AN_EPOCH = 391
NUM_TEST_IMAGES = 10_000
"""Both as with CIFAR-10 at batch size 128."""
CHECKPOINT = b"state"


def learning_rates(num_trials: int) -> list[float]:
    """What sets the trials apart."""
    return [number / 1000 for number in range(1, num_trials + 1)]


def make_config(lr: float, fingerprint: str, num_epochs: int) -> TrainConfig:
    return TrainConfig(dataset=DATASET, dataset_fingerprint=fingerprint, epochs=num_epochs, lr=lr)


def make_records(seed: int, num_epochs: int) -> list[EpochRecord]:
    """Figures with as many digits as measured ones have."""
    draw = Random(seed).random  # noqa: S311
    return [
        EpochRecord(
            epoch=epoch,
            step=epoch * STEPS_AN_EPOCH,
            lr=draw(),
            train_loss=draw(),
            train_error_percent=100 * draw(),
            holdout_loss=None,
            holdout_error_percent=None,
            test_loss=draw(),
            test_error_percent=100 * draw(),
            train_seconds=draw(),
            eval_seconds=draw(),
            images_per_second=1000 * draw(),
            gradient_norm=draw(),
            attempt=1,
        )
        for epoch in range(1, num_epochs + 1)
    ]


def fill_store(store: Store, num_trials: int, num_epochs: int, fingerprint: str) -> Path:
    """Write the trials and the sweep's manifest.

    Args:
        fingerprint: of the data set that the trials say they were trained on.

    Returns:
        The space that they are the trials of, as a YAML file inside the store.
    """
    rates = learning_rates(num_trials)
    defaults = {"dataset": DATASET, "epochs": num_epochs}
    space = f"name: {SWEEP}\ndefaults: {json.dumps(defaults)}\ngrid: {json.dumps({'lr': rates})}\n"
    trials = [PlannedTrial(make_config(lr, fingerprint, num_epochs), 0, {}) for lr in rates]
    store.sweep_folder(SWEEP).mkdir(parents=True)
    store.write_manifest(new_manifest(SWEEP, trials, space, {}, provenance.code_identity()))
    for seed, trial in enumerate(trials):
        _write_trial(store.trial_folder(trial.config.trial_key), trial.config, seed)
    path = store.path / f"{SWEEP}.yaml"
    path.write_text(space)
    return path


def _write_trial(folder: Path, config: TrainConfig, seed: int) -> None:
    """As one process writes it, with a checkpoint half-way."""
    attempt = Attempt(
        attempt=1,
        start_time=_now(),
        run_id="run",
        host=provenance.host_name(),
        device=provenance.processor_name(),
        num_threads=1,
        precision_resolved="fp32",
        versions=provenance.versions(),
        code=provenance.code_identity(),
    )
    bits = Random(seed).randbytes(NUM_TEST_IMAGES // 8).hex()  # noqa: S311
    with Ledger(folder, config.to_dict()) as ledger:
        ledger.begin(attempt)
        for record in make_records(seed, config.epochs):
            ledger.append(record)
            if record.epoch == config.epochs // 2:
                ledger.save_checkpoint(CHECKPOINT)
        ledger.finish(TrialEnd(Status.COMPLETE, config.epochs, _now(), "run", test_correct_bits=bits))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
