"""Count what a search has done, and what it would train at most, since its trials are not known before."""

import dataclasses
from collections.abc import Sequence

from results.store.search_progress import search_progress
from results.store.search_settings import NUM_TRIALS
from results.store.store import Store
from search_spaces.proposals import ProposalMaker
from sweep.search.opening import SearchSoFar
from trainable.config import TrainConfig
from trainable.ledger.reading import trial_status
from trainable.records import Status


@dataclasses.dataclass(frozen=True, slots=True)
class RemainingTraining:
    """A training and the number of its epochs that are left."""

    config: TrainConfig
    epochs: int


@dataclasses.dataclass(frozen=True, slots=True)
class SearchPlan:
    """What a search has done, and what it has left to do at most."""

    done: int
    """Number of trials that have ended and are not resumed."""
    resumed: tuple[RemainingTraining, ...]
    """Proposed trials that a run would resume: unfinished or failed ones."""
    to_come: int
    """Number of trials that are not proposed yet."""
    num_confirmations: int
    """Number of all trainings that confirm the best, at most."""
    confirmations_left: tuple[RemainingTraining, ...] | None
    """Confirmations that are not finished; None while the search has not chosen what they confirm."""
    store: str | None
    """The store that holds the search; None if the search has not begun."""
    num_earlier: int
    """Number of earlier results from which the search starts."""

    @property
    def unfinished(self) -> list[RemainingTraining]:
        """Resumed trials that have epochs left."""
        return [training for training in self.resumed if training.epochs]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to search, so that the best are known."""
        return not self.resumed and not self.to_come


def search_plan(store: Store, so_far: SearchSoFar, maker: ProposalMaker) -> SearchPlan:
    """Count what is done and what is left. Nothing is written.

    Args:
        maker: the space, which may ask for more trials than the search began with.
    """
    record, num_trials = so_far.record, maker.num_trials
    top, repeats = (0, 0) if maker.confirm is None else (maker.confirm.top, maker.confirm.repeats)
    if not record.settings:
        num_confirmations = min(top, num_trials) * repeats
        return SearchPlan(0, (), num_trials, num_confirmations, None, None, len(so_far.earlier.results))
    progress = search_progress(record)
    unfinished = [
        proposal.config
        for proposal in record.proposals
        if proposal.is_trained and proposal.config is not None and proposal.status in (None, Status.FAILED)
    ]
    to_come = progress.to_come + num_trials - record.settings[NUM_TRIALS]
    plan = SearchPlan(
        done=progress.begun + progress.ended - len(unfinished),
        resumed=tuple(_remaining(store, unfinished)),
        to_come=to_come,
        num_confirmations=min(top, len(so_far.best) + len(unfinished) + to_come) * repeats,
        confirmations_left=None,
        store=store.location(),
        num_earlier=len(record.earlier),
    )
    if not plan.is_settled:
        return plan
    return dataclasses.replace(plan, confirmations_left=tuple(_confirmations_left(store, so_far, top, repeats)))


def _confirmations_left(store: Store, so_far: SearchSoFar, top: int, repeats: int) -> list[RemainingTraining]:
    known = {(trial.number, trial.repeat): trial.config for trial in so_far.record.confirmations}
    wanted = [(proposal, repeat) for proposal in so_far.best[:top] for repeat in range(repeats)]
    begun = [known[proposal.number, repeat] for proposal, repeat in wanted if (proposal.number, repeat) in known]
    fresh = [
        dataclasses.replace(proposal.config, holdout=0.0)
        for proposal, repeat in wanted
        if (proposal.number, repeat) not in known and proposal.config is not None
    ]
    left = [training for training in _remaining(store, begun) if training.epochs]
    return left + [RemainingTraining(config, config.epochs) for config in fresh]


def _remaining(store: Store, configs: Sequence[TrainConfig]) -> list[RemainingTraining]:
    summaries = store.summaries([config.trial_key for config in configs])
    return [
        RemainingTraining(config, 0 if trial_status(summary).is_final else config.epochs - summary.epochs_done)
        for config, summary in zip(configs, summaries.values(), strict=True)
    ]
