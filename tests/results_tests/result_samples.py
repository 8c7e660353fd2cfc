"""Trials, ledgers and sweeps with figures that a test can compute by hand."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from results.parquet.trials import Trial
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.ledger import Ledger
from trainable.records import Attempt, EpochRecord, Purpose, Status, TrialEnd, TrialRow

START = "2026-01-02T03:04:05+00:00"
END = "2026-01-02T04:05:06+00:00"


def make_config(**changes: object) -> TrainConfig:
    return TrainConfig.from_dict({"dataset": "cifar10", "dataset_fingerprint": "0123456789abcdef", **changes})


def make_epoch(epoch: int, test_error: float | None, **changes: object) -> EpochRecord:
    """100 images in 2 s, evaluated in 0.5 s."""
    values: dict[str, Any] = {
        "epoch": epoch,
        "step": 10 * epoch,
        "lr": 0.1,
        "train_loss": 1.0 / epoch,
        "train_error_percent": 50.0,
        "holdout_loss": None,
        "holdout_error_percent": None,
        "test_loss": 1.5,
        "test_error_percent": test_error,
        "train_seconds": 2.0,
        "eval_seconds": 0.5,
        "images_per_second": 50.0,
        "gradient_norm": 0.25,
        "attempt": 1,
    }
    return EpochRecord(**{**values, **changes})


def make_attempt(number: int = 1, **changes: object) -> Attempt:
    values: dict[str, Any] = {
        "attempt": number,
        "start_time": START,
        "run_id": "run",
        "host": f"host-{number}",
        "device": "a processor",
        "num_threads": 1,
        "precision_resolved": "fp32",
        "versions": {"python": "3.11", "torch": "2.0"},
        "code": "c0de",
    }
    return Attempt(**{**values, **changes})


def make_end(status: Status, epochs_done: int, **changes: object) -> TrialEnd:
    values: dict[str, Any] = {"status": status, "epochs_done": epochs_done, "end_time": END, "run_id": "run"}
    return TrialEnd(**{**values, **changes})


def make_manifest(configs: Sequence[TrainConfig], name: str = "sweep", **changes: object) -> Manifest:
    trials = [PlannedTrial(config, 0, {}) for config in configs]
    values: dict[str, Any] = {"space": "grid: {lr: [1]}\n", "overrides": {}, "code": "c0de", "created": START}
    return Manifest(**{"name": name, "trials": trials, **values, **changes})


def write_trial(
    store: LocalStore,
    config: TrainConfig,
    epochs: Sequence[EpochRecord],
    end: TrialEnd | None = None,
    sweep: str | None = None,
) -> None:
    """What one process of that sweep leaves that worked on the trial; `end` is None where it was killed."""
    with Ledger(store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(make_attempt(sweep=sweep))
        for record in epochs:
            ledger.append(record)
        if end is None:
            ledger.save_checkpoint(b"state")
        else:
            ledger.finish(end)


def make_trial(config: TrainConfig, test_error: float | None, **changes: object) -> Trial:
    """A row of `trials`; COMPLETE, unless `changes` says otherwise."""
    row = TrialRow(
        sweep="sweep",
        trial_key=config.trial_key,
        superseded=False,
        generation=1,
        repeat=0,
        variables="{}",
        purpose=Purpose.PLANNED,
        proposal=None,
        stopped_epoch=None,
        objective_values=None,
        status=Status.COMPLETE.value,
        epochs_done=config.epochs,
        test_error_percent=test_error,
        test_error_percent_last5=test_error,
        best_test_error_percent=test_error,
        best_test_epoch=config.epochs,
        holdout_error_percent=None,
        holdout_error_percent_last5=None,
        best_holdout_error_percent=None,
        best_holdout_epoch=None,
        train_loss=0.5,
        train_seconds=1000.0,
        eval_seconds=320.0,
        total_seconds=1320.0,
        images_per_second=10_000.0,
        peak_memory_bytes=2**30,
        attempts=1,
        attempts_differ=None,
        damage=None,
        error=None,
        host="host",
        device="a processor",
        num_threads=1,
        gpus=0.0,
        precision_resolved="fp32",
        execution="eager",
        versions="{}",
        code="c0de",
        start_time=datetime.fromisoformat(START),
        end_time=datetime(2026, 1, 2, 4, tzinfo=UTC),
        test_correct_bits=b"\xf1",
    )
    values: dict[str, Any] = dict(changes)
    return Trial(config, dataclasses.replace(row, **values))
