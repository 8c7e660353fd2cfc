"""Stores of finished sweeps, written by the ledger itself as a run leaves them, without any training."""

import json
import platform
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import yaml

from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.ledger import Ledger
from trainable.records import Attempt, EpochRecord, Status, TrialEnd
from trainable.sweep_name import sweep_name

TIME = "2026-01-01T00:00:00+00:00"
EPOCH = EpochRecord(
    epoch=1,
    step=11,
    lr=0.1,
    train_loss=1.5,
    train_error_percent=50.0,
    holdout_loss=None,
    holdout_error_percent=None,
    test_loss=1.5,
    test_error_percent=50.0,
    train_seconds=1.0,
    eval_seconds=0.1,
    images_per_second=1408.0,
    gradient_norm=1.0,
    attempt=1,
)
FILLED_SWEEP = "filled"
FILLED_DATASET = "digits"
STEPS_PER_EPOCH, NUM_TEST_IMAGES = 391, 10_000
"""Steps at batch size 128 and test images of CIFAR-10, for stores of its size."""


def write_finished_sweep(folder: Path, num_trials: int) -> list[str]:
    """Write a space and the ledgers of all its trials; return the arguments of the command that runs it."""
    path = folder / "finished.yaml"
    grid = {"seed": list(range(num_trials))}
    path.write_text(yaml.safe_dump({"defaults": {"model": "resnet_preact_8", "epochs": 10}, "grid": grid}))
    store = folder / "store"
    write_finished_trials(path, store)
    return ["run", str(path), "--store", str(store)]


def write_finished_trials(space: Path, store: Path, scale: str | None = None) -> None:
    """Write the ledgers of all trials of a space on the digits, as its own run (with `--scale`) would leave them."""
    from search_spaces.expansion import expand, tie_to_data  # here: store_scale.py must stay a small process
    from search_spaces.loader import load_space
    from trainable.data.digits import load_digits

    loaded = load_space(str(space))
    data = load_digits()
    planned = expand(loaded, {}, scale).trials
    trials = tie_to_data(planned, *data.identity)
    attempt = _attempt(sweep_name(loaded.name, scale))
    for trial in trials:
        folder = LocalStore(store).trial_folder(trial.config.trial_key)
        records = [replace(EPOCH, epoch=epoch, step=11 * epoch) for epoch in range(1, trial.config.epochs + 1)]
        _write_trial(folder, trial.config, attempt, records, "00" * 45)


def fill_store(store: LocalStore, num_trials: int, num_epochs: int, fingerprint: str) -> Path:
    """Write trials with random figures and half-way checkpoints, the sweep's manifest, and its space in the store.

    The fingerprint is that of the data set on which the trials claim to have been trained.
    """
    rates = learning_rates(num_trials)
    defaults = {"dataset": FILLED_DATASET, "epochs": num_epochs}
    space = f"name: {FILLED_SWEEP}\ndefaults: {json.dumps(defaults)}\ngrid: {json.dumps({'lr': rates})}\n"
    config = TrainConfig(dataset=FILLED_DATASET, dataset_fingerprint=fingerprint, epochs=num_epochs)
    trials = [PlannedTrial(replace(config, lr=lr), 0, {}) for lr in rates]
    store.sweep_folder(FILLED_SWEEP).mkdir(parents=True)
    store.write_manifest(Manifest(FILLED_SWEEP, trials, space, {}, provenance.code_identity()))
    attempt = _attempt(FILLED_SWEEP)
    for seed, trial in enumerate(trials):
        folder = store.trial_folder(trial.config.trial_key)
        bits = Random(seed).randbytes(NUM_TEST_IMAGES // 8).hex()  # noqa: S311
        random = Random(seed)  # noqa: S311
        records = [random_record(random, epoch) for epoch in range(1, num_epochs + 1)]
        _write_trial(folder, trial.config, attempt, records, bits, checkpoint_epoch=num_epochs // 2)
    path = store.path / f"{FILLED_SWEEP}.yaml"
    path.write_text(space)
    return path


def learning_rates(num_trials: int) -> list[float]:
    """Return the learning rates that tell the trials of a filled store apart."""
    return [number / 1000 for number in range(1, num_trials + 1)]


def random_record(random: Random, epoch: int) -> EpochRecord:
    """Make an epoch whose figures have as many digits as measured ones."""
    draw = random.random
    return replace(
        EPOCH,
        epoch=epoch,
        step=epoch * STEPS_PER_EPOCH,
        lr=draw(),
        train_loss=draw(),
        train_error_percent=100 * draw(),
        test_loss=draw(),
        test_error_percent=100 * draw(),
        train_seconds=draw(),
        eval_seconds=draw(),
        images_per_second=1000 * draw(),
        gradient_norm=draw(),
    )


def _attempt(sweep: str) -> Attempt:
    """Make the record of a process on this machine."""
    host, device, code = platform.node(), provenance.processor_name(), provenance.code_identity()
    return Attempt(1, TIME, "run", host, device, 1, "fp32", provenance.versions(), code, sweep=sweep)


def _write_trial(
    folder: Path,
    config: TrainConfig,
    attempt: Attempt,
    records: Iterable[EpochRecord],
    test_correct_bits: str,
    *,
    checkpoint_epoch: int | None = None,
) -> None:
    """Write a finished trial's ledger as one process writes it."""
    with Ledger(folder, config.to_dict()) as ledger:
        ledger.begin(attempt)
        for record in records:
            ledger.append(record)
            if record.epoch == checkpoint_epoch:
                ledger.save_checkpoint(b"state")
        ledger.finish(TrialEnd(Status.COMPLETE, config.epochs, TIME, "run", test_correct_bits=test_correct_bits))
