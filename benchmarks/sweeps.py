"""Whole sweeps as a user starts them."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.store_scale import cost
from results.parquet.files import read_trials
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from trainable.records import Status, TrialRow


def run_sweep(space: Path, store: Path, *options: str, settings: Mapping[str, str] | None = None) -> list[TrialRow]:
    """Run `python tune_main.py run SPACE`, a file named like its space, and return the trials that it completed."""
    cost("tune_main.py", "run", str(space), "--store", str(store), *options, settings=settings)
    return completed(store, space.stem)


def completed(store: Path, sweep: str) -> list[TrialRow]:
    """Return the trials of a sweep that were trained to their end."""
    trials = trials_from_table(read_trials(LocalStore(store), sweep))
    return [trial.row for trial in trials if trial.row.status == Status.COMPLETE]
