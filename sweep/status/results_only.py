"""Sweeps of which a store has only the Parquet files, as in a folder of exported results."""

import pyarrow as pa

from results.parquet.files import read_trials
from results.parquet.schema import METADATA_PREFIX
from results.parquet.search_results import read_search
from results.parquet.trials import Trial, group_repeats, trials_from_table
from results.store.store import Store
from results.store.sweep_files import TRIALS_PARQUET
from sweep.status.status import SweepStatus, best_of_errors
from trainable.errors import UserError
from trainable.records import Status
from trainable.wording import format_value


def results_only(store: Store) -> list[str]:
    """Return the names of the sweeps that have Parquet files and no manifest."""
    return sorted(set(store.sweeps(TRIALS_PARQUET)) - set(store.sweeps()))


def results_status(store: Store, sweep: str) -> SweepStatus:
    """Count the trials of such a sweep; none is left, since a `run` does not find it.

    Raises:
        UserError: the Parquet files cannot be read.
    """
    table = read_trials(store, sweep)
    trials = trials_from_table(table)
    try:
        best = _best(table, trials)
    except ValueError:
        raise UserError(f"{store.location(sweep, TRIALS_PARQUET)} is damaged: the settings of the search") from None
    by_status = {status: [trial for trial in trials if trial.status is status] for status in Status}
    num_planned = (table.schema.metadata or {}).get(f"{METADATA_PREFIX}num_planned".encode(), b"")
    return SweepStatus(
        sweep=sweep,
        driver_running=False,
        planned=int(num_planned) if num_planned.isdigit() else len(trials),
        done=sum(trial.status.is_final for trial in trials),
        stopped=len(by_status[Status.STOPPED]),
        diverged=len(by_status[Status.DIVERGED]),
        running=0,
        failed=len(by_status[Status.FAILED]),
        left=0,
        epochs_done=sum(trial.row.epochs_done for trial in trials),
        epochs_planned=sum(
            trial.row.epochs_done if trial.status.is_final else trial.config.epochs for trial in trials
        ),
        errors={trial.row.trial_key: trial.row.error or "" for trial in by_status[Status.FAILED]},
        best=best,
        front=[],
        stalled={},
        notes=[],
        is_search=read_search(table) is not None,
    )


def _best(table: pa.Table, trials: list[Trial]) -> str | None:
    """Return the best result in words; None if there is none, or if there are several objectives."""
    search = read_search(table)
    if search is None:
        errors = {cell.config: cell.test_errors for cell in group_repeats(trials) if cell.test_errors}
        return best_of_errors([trial.config for trial in trials], errors)
    if len(search.objectives) != 1 or not search.best:
        return None
    best = search.best[0]
    params = " ".join(f"{name}={format_value(value, digits=4)}" for name, value in best.params.items())
    return f"{params}: {search.objectives[0].value_text(best.values[0])}"
