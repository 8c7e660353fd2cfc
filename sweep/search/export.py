"""Export a search of the store as an Optuna study."""

import pyarrow as pa

from results.parquet.search_results import attributes, read_search
from results.store.search_log import read_log
from results.store.store import Store
from trainable.errors import UserError, located
from trainable.wording import counted


def export_search(store: Store, sweep: str, trials: pa.Table, url: str) -> str:
    """Write a search as a study into an Optuna storage, and say what was written.

    Args:
        trials: the `trials` table of the sweep.

    Raises:
        UserError: the sweep is no search, or the storage cannot be written or holds this study already.
    """
    found = read_search(trials)
    if found is None:
        raise UserError(
            f"export --optuna: {sweep!r} is no search, or has not begun: its Parquet files hold all of it"
        )

    from sweep.search.search import export_study
    from sweep.search.study import Facts

    facts = {}
    for trial in found.trials:
        row = trial.trial.row
        facts[trial.number] = Facts(row.start_time, row.total_seconds, attributes(found, trial))
    with located("export --optuna"):
        record = read_log(store.search_log(sweep))
        written_to = export_study(record, sweep, url, facts)
    earlier = f" and {counted(len(record.earlier), 'earlier result')}" if record.earlier else ""
    proposals = counted(len(record.proposals), "proposal")
    return f"{proposals}{earlier} written to {written_to}\nnext: optuna-dashboard {written_to}"
