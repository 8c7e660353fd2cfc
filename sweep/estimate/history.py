"""Read speeds and memory from the trials of a store."""

import itertools
from collections.abc import Collection, Iterable, Iterator

from results.store.store import Store
from results.store.sweep_files import TRIALS_PARQUET
from sweep.estimate.speeds import DeviceProfile, Speed
from trainable.config import SHARED_HOLDOUT, TrainConfig
from trainable.errors import UserError
from trainable.execution import Execution
from trainable.ledger.noticed import notice
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord, TrialFiles

MAX_TRIALS = 128
"""Number of latest trials that are read: enough for the spread, and quick in a store of thousands."""
BITS_PER_HEX_DIGIT = 4
TIMES = ("train_seconds", "eval_seconds")


def read_speeds(store: Store, datasets: Collection[str]) -> list[Speed]:
    """Return the speeds of the store's latest trials on these data sets.

    They come from the ledgers, or from the Parquet files if only those are left. A trial on which several processes
    worked gives one speed for each process; a damaged trial gives none.
    """
    folders = store.latest_trials(MAX_TRIALS)
    speeds: list[Speed] = []
    for folder in folders:
        files = read_trial(folder)
        if files.config and (config := TrainConfig.from_dict(files.config)).dataset in datasets:
            speeds += _speeds_of(config, files)
    if not folders:
        speeds += itertools.islice(_parquet_speeds(store, datasets), MAX_TRIALS)
    return speeds


def peak_memory(speeds: Iterable[Speed]) -> dict[str, dict[tuple[str, int, str], int]]:
    """Return for each device: (model, batch size, precision asked for) -> most bytes that such a training took."""
    peaks: dict[str, dict[tuple[str, int, str], int]] = {}
    for speed in speeds:
        case = speed.model, speed.batch_size, speed.precision
        on_device = peaks.setdefault(speed.profile.device, {})
        on_device[case] = max(on_device.get(case, 0), speed.peak_memory_bytes or 0)
    return peaks


def _speeds_of(config: TrainConfig, files: TrialFiles) -> Iterator[Speed]:
    end = files.end
    last = files.epochs[-1].attempt if files.epochs else 0
    for attempt in files.attempts:
        epochs = [epoch for epoch in files.epochs if epoch.attempt == attempt.attempt and epoch.test_loss is not None]
        num_eval = _images_evaluated(config, end.test_correct_bits if end else None, epochs)
        num_trained = sum(epoch.images_per_second * epoch.train_seconds for epoch in epochs)
        train_seconds, eval_seconds = (sum(getattr(epoch, name) for epoch in epochs) for name in TIMES)
        if not num_trained or not num_eval or not train_seconds or not eval_seconds:
            continue
        how = Execution.parse(attempt.execution)
        yield Speed(
            profile=DeviceProfile(attempt.device, attempt.num_threads, how.compile),
            model=config.architecture,
            batch_size=config.images_per_pass,
            precision=config.precision,
            precision_resolved=attempt.precision_resolved,
            run=attempt.run_id,
            train_seconds_per_image=train_seconds / num_trained,
            eval_seconds_per_image=eval_seconds / (num_eval * len(epochs)),
            peak_memory_bytes=end.peak_memory_bytes if end and attempt.attempt == last else None,
            fused=how.fused,
        )


def _images_evaluated(config: TrainConfig, bits: str | None, epochs: list[EpochRecord]) -> int:
    """Return how many test and held-out images were evaluated after each epoch.

    The number is 0 if it is unknown: the trial has not ended and has no `test_subset`, or shares its held-out images.
    """
    num_test = config.test_subset or (len(bits) * BITS_PER_HEX_DIGIT if bits else 0)
    if not num_test or not epochs or config.recipe_version == SHARED_HOLDOUT:
        return 0
    trained = epochs[0].images_per_second * epochs[0].train_seconds
    return int(num_test + round(trained * config.holdout / (1 - config.holdout)))


def _parquet_speeds(store: Store, datasets: Collection[str]) -> Iterator[Speed]:
    """Yield the speeds of a store without ledgers: each trial is one speed, each sweep one run."""
    from results.parquet.files import read_trials
    from results.parquet.trials import trials_from_table

    for sweep in store.sweeps(TRIALS_PARQUET):
        try:
            trials = trials_from_table(read_trials(store, sweep))
        except UserError:  # damaged, or of another version
            notice(f"{sweep}/{TRIALS_PARQUET}")
            continue
        for trial in trials:
            config, row = trial.config, trial.row
            num_test = config.test_subset or 8 * len(row.test_correct_bits or b"")
            if config.dataset not in datasets or not num_test or config.recipe_version == SHARED_HOLDOUT:
                continue
            if not row.images_per_second or not row.train_seconds or not row.eval_seconds:
                continue
            num_train = row.images_per_second * row.train_seconds / row.epochs_done
            num_eval = num_test + round(num_train * config.holdout / (1 - config.holdout))
            how = Execution.parse(row.execution)
            yield Speed(
                profile=DeviceProfile(row.device, row.num_threads, how.compile),
                model=config.architecture,
                batch_size=config.images_per_pass,
                precision=config.precision,
                precision_resolved=row.precision_resolved,
                run=row.sweep,
                train_seconds_per_image=1 / row.images_per_second,
                eval_seconds_per_image=row.eval_seconds / (num_eval * row.epochs_done),
                peak_memory_bytes=row.peak_memory_bytes,
                fused=how.fused,
            )
