"""How far a search has come, counted from its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.store.manifest import Manifest
from results.store.search_log import SearchRecord, best
from results.store.search_settings import CONFIRM, NUM_TRIALS, REPEATS, TOP
from results.store.store import Store
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.reading import trial_status
from trainable.records import Purpose, Status


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Counts of trainings; what confirms the best is not among them."""

    wanted: int
    """Different configurations that are to be tried; those that were, where no more are proposed."""
    begun: int
    """Proposed and not ended."""
    statuses: Mapping[Status, int]
    """Of those that have ended."""

    @property
    def ended(self) -> int:
        return sum(self.statuses.values())

    @property
    def to_come(self) -> int:
        """Not proposed yet, at most."""
        return max(0, self.wanted - self.begun - self.ended)


def planned_trials(manifest: Manifest, record: SearchRecord) -> list[PlannedTrial]:
    """What the sweep's space lists, then what its search has proposed so far, then what that has chosen."""
    proposed = [
        PlannedTrial(one.config, 0, one.variables, Purpose.SEARCH, one.number)
        for one in record.proposals
        if one.config is not None and one.same_as is None
    ]
    confirmed = [
        PlannedTrial(one.config, one.repeat, one.variables, Purpose.CONFIRM, one.number)
        for one in record.confirmations
    ]
    searched = [*proposed, *confirmed]
    keys = {trial.config.trial_key for trial in searched}
    return [*(trial for trial in manifest.trials if trial.config.trial_key not in keys), *searched]


def search_progress(record: SearchRecord) -> SearchProgress:
    trained = [one for one in record.proposals if one.is_trained]
    ended = [one.status for one in trained if one.status is not None]
    return SearchProgress(
        wanted=record.settings.get(NUM_TRIALS, 0) if record.over is None else len(trained),
        begun=len(trained) - len(ended),
        statuses={status: ended.count(status) for status in Status if status in ended},
    )


def left_to_confirm(store: Store, planned: Sequence[PlannedTrial]) -> dict[str, TrainConfig]:
    """Trial key -> configuration of those that the store does not hold complete."""
    configs = {trial.config.trial_key: trial.config for trial in planned}
    summaries = store.summaries(configs)
    return {key: config for key, config in configs.items() if not trial_status(summaries[key]).is_final}


def status_in_search(record: SearchRecord, trial: PlannedTrial, status: Status) -> Status:
    """How a trial stands in this sweep: what its search stopped or saw fail is so, whoever trains it later."""
    if trial.purpose is Purpose.SEARCH and trial.proposal is not None:
        ended = record.proposals[trial.proposal].status
        if ended in (Status.STOPPED, Status.FAILED):
            return ended
    return status


def num_to_come(record: SearchRecord) -> int:
    """Trainings that are neither proposed nor chosen yet, at most."""
    progress = search_progress(record)
    confirm = record.settings.get(CONFIRM)
    if not confirm or record.confirmations:
        return progress.to_come
    num_chosen = min(int(confirm[TOP]), progress.wanted)
    if not progress.begun and not progress.to_come:
        num_chosen = min(num_chosen, len(best(record)))
    return progress.to_come + num_chosen * int(confirm[REPEATS])
