"""How far a search has come, from its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.store import Manifest, Store
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger import read_standing, trial_status
from trainable.records import Purpose, Status
from trainable.search_log import SearchRecord

NUM_TRIALS = "num_trials"
CONFIRM = "confirm"
OBJECTIVE = "objective"
"""Keys of the settings (search_spaces.search writes them)."""


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Counts of trainings; what confirms the best is not among them."""

    wanted: int
    """Different configurations that are to be tried."""
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
        wanted=record.settings.get(NUM_TRIALS, 0),
        begun=len(trained) - len(ended),
        statuses={status: ended.count(status) for status in Status if status in ended},
    )


def search_heading(sweep: str, dataset: str, record: SearchRecord) -> str:
    """`name: a search of 20 trials on digits, 3 done, 1 to go on with, 16 to propose`."""
    progress = search_progress(record)
    parts = [
        f"{progress.ended} done",
        f"{progress.begun} to go on with" if progress.begun else "",
        f"{progress.to_come} to propose",
    ]
    return f"{sweep}: a search of {progress.wanted} trials on {dataset}, " + ", ".join(part for part in parts if part)


def best_words(record: SearchRecord) -> str | None:
    """`base_lr=0.21 batch_size=16: holdout_error_percent 2.5`; None where nothing ran to the end, or of several
    objectives."""
    objectives = record.settings.get(OBJECTIVE, ())
    scored = [
        (one.values[0], one.number)
        for one in record.proposals
        if one.is_trained and one.status is Status.COMPLETE and one.values and one.values[0] is not None
    ]
    if len(objectives) != 1 or not scored:
        return None
    value, number = min(scored)
    params = " ".join(f"{name}={_rounded(given)}" for name, given in record.proposals[number].params.items())
    return f"{params}: {objectives[0]['metric']} {_rounded(value)}"


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def left_to_confirm(store: Store, planned: Sequence[PlannedTrial]) -> dict[str, TrainConfig]:
    """Trial key -> configuration of those that the store does not hold complete."""
    configs = {trial.config.trial_key: trial.config for trial in planned}
    store.refresh_trials(configs)
    return {
        key: config
        for key, config in configs.items()
        if not trial_status(read_standing(store.trial_folder(key))).is_final
    }


def status_in_search(record: SearchRecord, trial: PlannedTrial, status: Status) -> Status:
    """How a trial stands in this sweep: what the search has stopped or given up stays so, whoever trains it later."""
    if trial.purpose is Purpose.SEARCH and trial.proposal is not None:
        ended = record.proposals[trial.proposal].status
        if ended in (Status.STOPPED, Status.FAILED):
            return ended
    return status


def num_given_up(record: SearchRecord) -> int:
    """Trainings of the search that failed: it has learned that, and does not try them again."""
    return search_progress(record).statuses.get(Status.FAILED, 0)


def num_to_come(record: SearchRecord) -> int:
    """Trainings that are neither proposed nor chosen yet, at most."""
    confirm = record.settings.get(CONFIRM)
    to_confirm = confirm["top"] * confirm["repeats"] if confirm and not record.confirmations else 0
    return search_progress(record).to_come + to_confirm
