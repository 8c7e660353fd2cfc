"""What a search has done, and what it would train at most, since its trials are not known before."""

import dataclasses
from collections.abc import Sequence

from results.store.search_progress import search_progress
from results.store.search_settings import NUM_TRIALS
from results.store.store import Store
from search_spaces.proposals import ProposalMaker
from sweep.plan.counts import amount_text
from sweep.search.opening import SearchSoFar
from trainable.config import TrainConfig
from trainable.ledger.reading import trial_status
from trainable.records import Status
from trainable.wording import counted

Amount = tuple[int, int]
"""Epochs, and images to train on."""


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
    num_seeds: int
    """Number of seeds with which each configuration is trained."""
    stops_early: bool
    """Whether the scheduler may stop trials."""

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
    record, num_trials, num_seeds = so_far.record, maker.num_trials, maker.num_seeds
    stops_early = maker.scheduler.type not in ("none", "pbt")
    top, repeats = (0, 0) if maker.confirm is None else (maker.confirm.top, maker.confirm.repeats)
    if not record.settings:
        num_confirmations = min(top, num_trials) * repeats
        num_earlier = len(so_far.earlier.results)
        to_come = num_trials * num_seeds
        return SearchPlan(0, (), to_come, num_confirmations, None, None, num_earlier, num_seeds, stops_early)
    progress = search_progress(record)
    unfinished = [
        proposal.config
        for proposal in record.proposals
        if proposal.is_trained and proposal.config is not None and proposal.status in (None, Status.FAILED)
    ]
    to_come = progress.to_come + (num_trials - record.settings[NUM_TRIALS]) * num_seeds
    plan = SearchPlan(
        done=progress.begun + progress.ended - len(unfinished),
        resumed=tuple(_remaining(store, unfinished)),
        to_come=to_come,
        num_confirmations=min(top, len(so_far.best) + len(unfinished) + to_come) * repeats,
        confirmations_left=None,
        store=store.location(),
        num_earlier=len(record.earlier),
        num_seeds=num_seeds,
        stops_early=stops_early,
    )
    if not plan.is_settled:
        return plan
    return dataclasses.replace(plan, confirmations_left=tuple(_confirmations_left(store, so_far, top, repeats)))


def _confirmations_left(store: Store, so_far: SearchSoFar, top: int, repeats: int) -> list[RemainingTraining]:
    known = {(trial.number, trial.repeat): trial.config for trial in so_far.record.confirmations}
    wanted = [(proposal, repeat) for proposal in so_far.best[:top] for repeat in range(repeats)]
    begun = [known[proposal.number, repeat] for proposal, repeat in wanted if (proposal.number, repeat) in known]
    fresh = [
        proposal.config.without_holdout()
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


def search_plan_text(
    sweep: str,
    dataset: str,
    plan: SearchPlan,
    warm_start: str | None,
    corners: Sequence[TrainConfig],
    num_images: tuple[int, int],
) -> str:
    """Return the plan as text.

    Args:
        corners: configurations at the ends of the searched ranges.
        num_images: number of the data set's images to train and to test.
    """
    num_trials = plan.done + len(plan.resumed) + plan.to_come
    begun = "" if plan.store else ", which has not begun"
    seeds = f", {plan.num_seeds} for each configuration," if plan.num_seeds > 1 else ""
    lines = [f"{sweep}: a search of up to {counted(num_trials, 'trial')}{seeds} on {dataset}{begun}"]
    if plan.num_earlier:
        lines.append(f"  start  {counted(plan.num_earlier, 'earlier result')} of {warm_start}")
    left = [
        _largest_amount(plan.to_come, corners, num_images),
        *(_amount(training, num_images) for training in plan.resumed),
    ]
    most = f"{_sum_text(left)}{' if no trial is stopped early' * plan.stops_early}"
    if plan.store is None:
        epochs = sorted({config.epochs for config in corners})
        each = counted(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
        lines.append(f"  most   {counted(num_trials, 'trial')} of {each}: {most}")
    else:
        resumed = f", {len(plan.resumed)} to resume" if plan.resumed else ""
        lines.append(f"  done   {plan.done}{resumed} in {plan.store}")
        end = "" if plan.is_settled else f": {most}"
        lines.append(f"  left   {counted(num_trials - plan.done, 'trial')}{end}")
    if plan.num_confirmations:
        lines.append(f"  then   {_confirmation_text(plan, corners, num_images)}")
    return "\n".join(lines)


def _confirmation_text(plan: SearchPlan, corners: Sequence[TrainConfig], num_images: tuple[int, int]) -> str:
    total = counted(plan.num_confirmations, "trial")
    if plan.confirmations_left is None:
        whole = [config.without_holdout() for config in corners]
        most = _sum_text([_largest_amount(plan.num_confirmations, whole, num_images)])
        return f"up to {total} to confirm the best: {most}"
    if plan.confirmations_left:
        amounts = [_amount(training, num_images) for training in plan.confirmations_left]
        return f"{len(amounts)} of {total} to confirm the best: {_sum_text(amounts)}"
    have = counted(plan.num_confirmations, "trial has", "trials have")
    return f"nothing: {have} confirmed the best"


def _largest_amount(num_trials: int, configs: Sequence[TrainConfig], num_images: tuple[int, int]) -> Amount:
    """Return the amount for `num_trials` trials that are all as large as the largest of these configurations."""
    each = [_amount(RemainingTraining(config, config.epochs), num_images) for config in configs]
    return num_trials * max(epochs for epochs, _ in each), num_trials * max(images for _, images in each)


def _amount(training: RemainingTraining, num_images: tuple[int, int]) -> Amount:
    return training.epochs, training.epochs * training.config.count_images(num_images[0])[0]


def _sum_text(amounts: Sequence[Amount]) -> str:
    return amount_text(sum(epochs for epochs, _ in amounts), sum(images for _, images in amounts))
