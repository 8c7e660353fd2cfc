"""Put the result of one trial aside, so that the next run trains the trial again."""

import contextlib
from dataclasses import dataclass

from results.store.manifest import Manifest
from results.store.search_progress import planned_trials, search_record
from results.store.store import Store
from sweep.observers.parquet_writer import ParquetWriter
from sweep.status.logs import find_trial, trial_heading
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.ledger.reading import trial_status
from trainable.records import Purpose


@dataclass(frozen=True, slots=True)
class Retry:
    """A trial to train again."""

    config: TrainConfig
    heading: str
    """The trial's key, its main fields and its status."""
    sweeps: list[Manifest]
    """The sweeps of the store that have the trial."""


def retry_of(store: Store, word: str, sweep: str | None = None) -> Retry:
    """Find the trial whose key begins with a word. Nothing is written.

    Args:
        sweep: look among the trials of this sweep only.

    Raises:
        UserError: there is no such trial, its result cannot be put aside, or a driver runs one of its sweeps.
    """
    key, _, superseded = find_trial(store, word, sweep).partition(SUPERSEDED)
    if superseded:
        raise UserError(f"the results of {key} are put aside already: the next `run` trains it")
    summary = store.summaries([key])[key]
    status = trial_status(summary)
    if not status.is_final:
        raise UserError(f"{key} is {status}: the next `run` of its sweep resumes it anyway")
    sweeps = []
    for name in store.sweeps():
        manifest = store.manifest(name)
        trials = planned_trials(manifest, search_record(store, manifest))
        purposes = {trial.purpose for trial in trials if trial.config.trial_key == key}
        if Purpose.SEARCH in purposes:
            raise UserError(
                f"{key} is a proposal of the search {name!r}, whose later proposals rest on its result: "
                "give another --name to search again"
            )
        if purposes and store.is_running(name):
            raise UserError(f"a process is running the sweep {name!r}: stop it, or wait for it")
        sweeps += [manifest] if purposes else []
    return Retry(TrainConfig.from_dict(summary.config), trial_heading(key, summary), sweeps)


def retry_text(retry: Retry) -> str:
    """Say what becomes of the trial, and which command trains it again."""
    names = [manifest.name for manifest in retry.sweeps]
    again = f"`run` of {' and '.join(names)}" if names else "`train` of the same configuration"
    return f"{retry.heading}\nits results are kept as superseded; the next {again} trains it again"


def put_aside(store: Store, retry: Retry) -> None:
    """Supersede the trial's results, and rewrite the Parquet files of its sweeps.

    Raises:
        UserError: a driver has begun to work on one of its sweeps, or a process on the trial.
    """
    with contextlib.ExitStack() as stack:
        for manifest in retry.sweeps:
            stack.enter_context(store.driving(manifest))
        store.supersede(Manifest("", [PlannedTrial(retry.config, 0, {})], "", {}, ""))
        for manifest in retry.sweeps:
            writer = ParquetWriter(store, manifest)
            with writer.driven():
                writer.write()
