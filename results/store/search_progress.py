"""The progress of a search, counted from its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.store.configurations import best, num_seeds, seeds_to_come, trainings
from results.store.journal import RUNS
from results.store.manifest import Manifest
from results.store.search_log import SEARCH_LOG, SearchRecord, read_log
from results.store.search_settings import CONFIRM, NUM_TRIALS, REPEATS, TOP
from results.store.store import Store
from results.store.sweep_files import TRIALS_PARQUET
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.ledger.reading import trial_status
from trainable.records import Purpose, Status
from trainable.wording import counted

LOST = "is missing or empty, although the search has run"
BEGIN_ANEW = "put it back, or `run` begins the search anew, and reuses what was trained"


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Numbers of trainings, without those that confirm the best configurations."""

    num_configurations: int
    """Number of different configurations to try; if no more are proposed, of those that were tried."""
    begun: int
    """Number of trainings that were proposed and have not ended."""
    paused: int
    """Number of those that wait for a promotion."""
    statuses: Mapping[Status, int]
    """Number of trainings that have ended, by their status."""
    to_come: int
    """Largest number of trainings that may still be proposed."""

    @property
    def wanted(self) -> int:
        """Largest number of trainings, all together."""
        return self.begun + self.ended + self.to_come

    @property
    def ended(self) -> int:
        """Number of trainings that have ended."""
        return sum(self.statuses.values())


def search_record(store: Store, manifest: Manifest, *, up_to_damage: bool = False) -> SearchRecord:
    """Return what the log of the sweep holds; an empty record if the sweep is no search or has not begun.

    Raises:
        UserError: the log is lost, or damaged as in `read_log`.
    """
    log = store.search_log(manifest.name)
    record = read_log(log, up_to_damage=up_to_damage)
    if has_lost_log(store, manifest, record):
        raise UserError(f"{log.location} {LOST}: {BEGIN_ANEW}")
    return record


def has_lost_log(store: Store, manifest: Manifest, record: SearchRecord) -> bool:
    """Return whether the sweep is a search that has run, while its log holds nothing."""
    if not manifest.is_search or record.settings or record.damage is not None:
        return False
    return bool(store.journal(manifest.name, RUNS).read()) or _has_rows(store.read(manifest.name, TRIALS_PARQUET))


def _has_rows(table: bytes | None) -> bool:
    """Return whether this Parquet file tells of a run; an export before the first run has no rows."""
    from pyarrow import ArrowException, BufferReader, parquet  # here: `status` of most sweeps does without

    try:
        return table is not None and parquet.read_metadata(BufferReader(table)).num_rows > 0
    except (ArrowException, OSError):
        return True


def planned_trials(manifest: Manifest, record: SearchRecord) -> list[PlannedTrial]:
    """Return the trials that the space lists, then those that the search has proposed so far, then those it chose."""
    proposed = [
        PlannedTrial(training.config, repeat, training.variables, Purpose.SEARCH, training.number)
        for proposal in record.proposals
        if proposal.is_trained and proposal.seed_of is None
        for repeat, training in enumerate(trainings(record, proposal))
        if training.config is not None
    ]
    confirmed = [
        PlannedTrial(chosen.config, chosen.repeat, chosen.variables, Purpose.CONFIRM, chosen.number)
        for chosen in record.confirmations
    ]
    searched = [*proposed, *confirmed]
    keys = {trial.config.trial_key for trial in searched}
    return [*(trial for trial in manifest.trials if trial.config.trial_key not in keys), *searched]


def search_progress(record: SearchRecord) -> SearchProgress:
    """Count the trainings in the log."""
    trained = [proposal for proposal in record.proposals if proposal.is_trained]
    ended = [proposal.status for proposal in trained if proposal.status is not None]
    num_tried = sum(proposal.seed_of is None for proposal in trained)
    num_configurations = record.settings.get(NUM_TRIALS, 0) if record.over is None else num_tried
    return SearchProgress(
        num_configurations=num_configurations,
        begun=len(trained) - len(ended),
        paused=sum(proposal.is_paused for proposal in trained),
        statuses={status: ended.count(status) for status in Status if status in ended},
        to_come=max(0, num_configurations - num_tried) * num_seeds(record)
        + sum(seeds_to_come(record, proposal) for proposal in trained),
    )


def paused_keys(record: SearchRecord) -> set[str]:
    """Return the keys of the trials that wait for a promotion."""
    return {each.config.trial_key for each in record.proposals if each.is_paused and each.config is not None}


def stopped_keys(record: SearchRecord) -> frozenset[str]:
    """Return the keys of the trials that the search has stopped. It may still promote them if it grows."""
    stopped = (each.config for each in record.proposals if each.status is Status.STOPPED)
    return frozenset(config.trial_key for config in stopped if config is not None)


def left_to_confirm(store: Store, planned: Sequence[PlannedTrial]) -> dict[str, TrainConfig]:
    """Return the configurations of the unfinished trials by their keys."""
    configs = {trial.config.trial_key: trial.config for trial in planned}
    summaries = store.summaries(configs)
    return {key: config for key, config in configs.items() if not trial_status(summaries[key]).is_final}


def status_in_search(record: SearchRecord, trial: PlannedTrial, status: Status) -> Status:
    """Return the status of a trial in this sweep.

    A trial that the search stopped or saw fail stays so, even if another sweep trains it later. A result that the log
    does not tell of counts only once `run` has added it.
    """
    if trial.purpose is Purpose.SEARCH and trial.proposal is not None:
        ended = record.proposals[trial.proposal].status
        if ended in (Status.STOPPED, Status.FAILED):
            return ended
        if ended is None and status.is_final:
            return Status.INCOMPLETE
    return status


def unsettled_notes(store: Store, record: SearchRecord) -> list[str]:
    """Say how many trials have a result that the log does not tell of, where no driver runs; at most one line."""
    open_proposals = [each.config for each in record.proposals if each.is_trained and each.status is None]
    running = [config.trial_key for config in open_proposals if config is not None]
    count = sum(trial_status(summary).is_final for summary in store.summaries(running).values())
    have = counted(count, "trial has", "trials have")
    return [f"{have} a result that {SEARCH_LOG} does not tell of: `run` settles it"] if count else []


def num_to_come(record: SearchRecord) -> int:
    """Return the largest number of trainings that may still be proposed or chosen."""
    progress = search_progress(record)
    confirm = record.settings.get(CONFIRM)
    if not confirm or record.confirmations:
        return progress.to_come
    num_chosen = min(int(confirm[TOP]), progress.num_configurations)
    if not progress.begun and not progress.to_come:
        num_chosen = min(num_chosen, len(best(record)))
    return progress.to_come + num_chosen * int(confirm[REPEATS])
