"""A sweep whose trials are all done, written as a run leaves it, without any training."""

from pathlib import Path

import yaml

from results.store.store import Store
from search_spaces.expansion import expand, tie_to_data
from search_spaces.loader import load_space
from trainable import provenance
from trainable.data.digits import load_digits
from trainable.ledger.ledger import Ledger
from trainable.records import Attempt, EpochRecord, Status, TrialEnd
from trainable.sweep_name import sweep_name

TIME = "2026-01-01T00:00:00+00:00"


def write_finished_sweep(folder: Path, num_trials: int) -> list[str]:
    """Write a space of `num_trials` trials and the ledgers of all; the arguments of the command that runs it."""
    path = folder / "finished.yaml"
    grid = {"seed": list(range(num_trials))}
    path.write_text(yaml.safe_dump({"defaults": {"model": "resnet_preact_8", "epochs": 10}, "grid": grid}))
    store = folder / "store"
    write_finished_trials(path, store)
    return ["run", str(path), "--store", str(store)]


def write_finished_trials(space: Path, store: Path, scale: str | None = None) -> None:
    """The ledgers of all trials of a space on the digits, as its own run (with --scale) would leave them."""
    loaded = load_space(str(space))
    data = load_digits()
    planned = expand(loaded, {}, scale).trials
    trials = tie_to_data(planned, data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))
    sweep = sweep_name(loaded.name, scale)
    attempt = Attempt(1, TIME, "run", "host", "device", 1, "fp32", provenance.versions(), "code", sweep=sweep)
    for trial in trials:
        epochs = trial.config.epochs
        with Ledger(Store(store).trial_folder(trial.config.trial_key), trial.config.to_dict()) as ledger:
            ledger.begin(attempt)
            for epoch in range(1, epochs + 1):
                ledger.append(_epoch(epoch))
            ledger.finish(TrialEnd(Status.COMPLETE, epochs, TIME, "run", test_correct_bits="00" * 45))


def _epoch(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=11 * epoch,
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
