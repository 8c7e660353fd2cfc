"""Do to a store in a folder what `run` would do about damage, without training anything."""

from collections.abc import Iterator

from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.manifest import Manifest
from results.store.search_progress import BEGIN_ANEW, planned_trials, search_record
from results.store.store import Store
from sweep.runs import drop_damaged_runs
from sweep.search.opening import repair_log
from sweep.verification import Verification
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import CONFIG, SUPERSEDED
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.reading import read_config
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.wording import counted


def repair(store: Store, sweep: str | None, verified: Verification) -> Iterator[str]:
    """Repair what was found damaged; yield a line for each repair, with what is lost and what is left to train.

    Raises:
        UserError: the store is in a bucket, a driver runs a sweep, or a process trains one of the trials.
    """
    if isinstance(store.ledgers, RemoteFolder):
        raise UserError("--repair works on stores in folders; in a bucket `run` repairs what it needs")
    damaged = verified.damaged_trainings.intersection(store.trial_names())
    damaged = {name for name in damaged if SUPERSEDED not in name and not store.trial_folder(name).is_symlink()}
    for name in [sweep] if sweep is not None else store.sweeps():
        try:
            manifest = store.manifest(name)
            record = search_record(store, manifest, up_to_damage=True)
            if record.damage is not None and not record.settings:
                raise UserError(f"{record.damage}: {BEGIN_ANEW}")
        except UserError as error:
            yield f"not repaired: {error}"
            continue
        planned = planned_trials(manifest, record)
        trials = [trial.config for trial in planned if trial.config.trial_key in damaged]
        damaged -= {config.trial_key for config in trials}
        folders = {finding.path.rpartition("/")[0] for finding in verified.findings}
        if trials or folders & {name, ""}:  # every driver mends the store's own file
            with store.driving(manifest):
                yield from _repair_sweep(store, manifest, trials)
    for key in sorted(damaged):  # of no sweep
        config = read_config(store.trial_folder(key) / CONFIG)
        if config:
            yield _repair_trial(store, TrainConfig.from_dict(config))


def _repair_sweep(store: Store, manifest: Manifest, trials: list[TrainConfig]) -> Iterator[str]:
    """Repair the files of a sweep, and these trials of it."""
    yield from repair_log(store, manifest.name)
    num_lines = drop_damaged_runs(store, manifest.name)
    if num_lines:
        yield f"{manifest.name}: {counted(num_lines, 'line')} of the history of its runs dropped"
    yield from (_repair_trial(store, config) for config in trials)
    write_tables(*Collector(store, manifest).tables(), store, manifest.name)
    yield f"{manifest.name}: Parquet files written again"


def _repair_trial(store: Store, config: TrainConfig) -> str:
    key = config.trial_key
    try:
        with Ledger(store.trial_folder(key), config.to_dict(), store.store_id) as ledger:
            files = ledger.repair()
            epochs = counted(len(ledger.epochs), "epoch")
            if ledger.end is not None and ledger.end.status.is_final:
                left = "nothing is left to train"
            elif ledger.checkpoint is not None:
                left = f"`run` resumes it after epoch {ledger.checkpoint.epochs_done}"
            else:
                left = "`run` trains it from the beginning"
    except LedgerBusyError:
        raise UserError(f"a process trains {key}: wait for it") from None
    return f"{key}: {', '.join(files) or 'nothing'} repaired, {epochs} kept; {left}"
