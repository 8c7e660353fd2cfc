"""What a run would have to train, counted from configurations and the store; no data set is loaded."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from results.store.holdings import has_begun, last_sweep, reused_text
from results.store.search_log import ProposalRecord, SearchRecord
from results.store.search_progress import search_progress
from results.store.search_settings import NUM_TRIALS
from results.store.store import Store
from sweep.estimate.work import TrialWork, images_not_held_out, trial_work
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.ledger.reading import read_summary, trial_status
from trainable.records import Status, TrialSummary
from trainable.wording import counted


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class HowFar:
    """How far a stored trial has come; the greater of two has come further."""

    is_final: bool = False
    epochs_done: int = 0
    has_begun: bool = False
    sweep: str = ""
    """The sweep whose run worked last on it; empty where there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlanCounts:
    """Of the trials of a space against a store."""

    trials: int
    done: int
    """COMPLETE, STOPPED or DIVERGED."""
    begun: int
    """With epochs that need not be trained again, or an attempt; not among `done`."""
    epochs_left: int
    images_left: int | None
    """Images to train on, each counted once an epoch; None where the data set's size is not known."""
    store: str | None
    """The store that was looked at; None where there is none."""
    standings: tuple[HowFar, ...] = ()
    """Of each trial, in the order of the plan."""
    works: tuple[TrialWork, ...] = dataclasses.field(default=(), compare=False)
    """What is left of each trial; empty where the data set's size is not known."""

    @property
    def left(self) -> int:
        return self.trials - self.done

    @property
    def trained_by(self) -> dict[str | None, int]:
        """Sweep -> how many of those done its runs trained."""
        return dict(Counter(one.sweep or None for one in self.standings if one.is_final))


def plan_counts(store: Store, configs: Sequence[TrainConfig], num_images: tuple[int, int] | None) -> PlanCounts:
    """Count; nothing is written.

    Where a configuration is not tied to a data set's content, a stored trial counts if everything but the
    fingerprint is the same; of several such trials the one that has come furthest.

    Args:
        configs: distinct.
        num_images: of the data set, to train and to test; None where unknown.

    Raises:
        UserError: a batch or a subset larger than the data set.
    """
    if num_images is not None:
        configs = [config.for_dataset(config.dataset, config.dataset_fingerprint, *num_images) for config in configs]
    store.refresh_trials()
    exists = store.trials_folder.is_dir()
    held = _furthest(_stored(store)) if exists else {}
    done = begun = epochs_left = images_left = 0
    works: list[TrialWork] = []
    standings = tuple(held.get(config, HowFar()) for config in configs)
    for config, standing in zip(configs, standings, strict=True):
        done += standing.is_final
        begun += not standing.is_final and standing.has_begun
        epochs = 0 if standing.is_final else config.epochs - standing.epochs_done
        epochs_left += epochs
        if num_images is not None and epochs:
            works.append(trial_work(config, epochs, num_images))
            images_left += epochs * works[-1].train_images_per_epoch
    return PlanCounts(
        trials=len(configs),
        done=done,
        begun=begun,
        epochs_left=epochs_left,
        images_left=None if num_images is None else images_left,
        store=store.shown() if exists else None,
        standings=standings,
        works=tuple(works),
    )


def plan_text(sweep: str, dataset: str, counts: PlanCounts, notes: Sequence[str], *, is_loaded: bool = False) -> str:
    """For people.

    Args:
        is_loaded: the data set's content is known.
    """
    lines = [f"{sweep}: {counted(counts.trials, 'trial')} on {dataset}"]
    if counts.store is None:
        lines.append("  done   0 (there is no store yet)")
    else:
        reused = reused_text(sweep, counts.trained_by)
        done = f"{counts.done}, {reused}" if reused else f"{counts.done}"
        begun = f", {counts.begun} to go on with" if counts.begun else ""
        lines.append(
            f"  done   {done}{begun} in {counts.store}"
            + " (matched on all but the data set's content, which is not loaded)" * (not is_loaded)
        )
    images = "images unknown" if counts.images_left is None else f"{counts.images_left:,} images"
    lines.append(f"  left   {counted(counts.left, 'trial')}, {counts.epochs_left:,} epochs, {images}")
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """A training that is not over."""

    config: TrainConfig
    epochs: int
    """That are left."""


@dataclasses.dataclass(frozen=True, slots=True)
class SearchPlan:
    """What a search has done, and what it has yet to do at most."""

    done: int
    """Tried, and not to be gone on with."""
    go_on: tuple[Left, ...]
    """Proposed, and to be gone on with: what was under way, or has failed."""
    to_come: int
    """Not proposed yet."""
    confirm: int
    """Trainings that confirm the best, at most; all of them."""
    chosen: tuple[Left, ...] | None
    """Those of them that are left; None where what they confirm is not known yet."""
    store: str | None
    """The store that holds the search; None where it has not begun."""
    num_earlier: int
    """Results that it begins with."""

    @property
    def unfinished(self) -> list[Left]:
        """Those to be gone on with that have epochs left."""
        return [one for one in self.go_on if one.epochs]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to search, so that the best are known."""
        return not self.go_on and not self.to_come


def search_plan(
    store: Store,
    record: SearchRecord,
    best: Sequence[ProposalRecord],
    num_trials: int,
    top: int,
    repeats: int,
    num_earlier: int,
) -> SearchPlan:
    """Count; nothing is written.

    Args:
        record: empty where the search has not begun.
        best: those that were trained to the end, best first.
        num_trials: different configurations that it tries; not fewer than it began with.
        top: configurations to confirm.
        repeats: of each of them.
        num_earlier: results that it begins with, where it has not begun.
    """
    if not record.settings:
        confirm = min(top, num_trials) * repeats
        return SearchPlan(0, (), num_trials, confirm, None, None, num_earlier)
    progress = search_progress(record)
    unfinished = [
        one.config
        for one in record.proposals
        if one.is_trained and one.config is not None and one.status in (None, Status.FAILED)
    ]
    to_come = progress.to_come + num_trials - record.settings[NUM_TRIALS]
    plan = SearchPlan(
        done=progress.begun + progress.ended - len(unfinished),
        go_on=tuple(_left(store, unfinished)),
        to_come=to_come,
        confirm=min(top, len(best) + len(unfinished) + to_come) * repeats,
        chosen=None,
        store=store.shown(),
        num_earlier=len(record.earlier),
    )
    if not plan.is_settled:
        return plan
    known = {(one.number, one.repeat): one.config for one in record.confirmations}
    wanted = [(one, repeat) for one in best[:top] for repeat in range(repeats)]
    begun = [known[one.number, repeat] for one, repeat in wanted if (one.number, repeat) in known]
    fresh = [one.config for one, repeat in wanted if (one.number, repeat) not in known and one.config is not None]
    chosen = [one for one in _left(store, begun) if one.epochs]
    chosen += [Left(dataclasses.replace(config, holdout=0.0), config.epochs) for config in fresh]
    return dataclasses.replace(plan, chosen=tuple(chosen))


def search_plan_text(
    sweep: str,
    dataset: str,
    plan: SearchPlan,
    warm_start: str | None,
    configs: Sequence[TrainConfig],
    num_images: tuple[int, int] | None,
) -> str:
    """For people.

    Args:
        warm_start: where it begins from.
        configs: at the ends of what may be proposed.
        num_images: of the data set, to train and to test; None where unknown.
    """
    num_trials = plan.done + len(plan.go_on) + plan.to_come
    unknown = ", none of them known before" if plan.store is None else ""
    lines = [f"{sweep}: a search of up to {counted(num_trials, 'trial')} on {dataset}{unknown}"]
    if plan.num_earlier:
        lines.append(f"  start  {plan.num_earlier} earlier results of {warm_start}")
    left = [_most(plan.to_come, configs, num_images), *(_amount(one, num_images) for one in plan.go_on)]
    if plan.store is None:
        epochs = sorted({config.epochs for config in configs})
        each = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
        lines.append(f"  most   {num_trials} trials of {each} epochs: {_sum_text(left)} if all go to the end")
    else:
        begun = f", {len(plan.go_on)} to go on with" if plan.go_on else ""
        lines.append(f"  done   {plan.done}{begun} in {plan.store}")
        end = "" if plan.is_settled else f": {_sum_text(left)} if all go to the end"
        lines.append(f"  left   {counted(num_trials - plan.done, 'trial')}{end}")
    if plan.chosen:
        most = _sum_text([_amount(one, num_images) for one in plan.chosen])
        lines.append(f"  then   {len(plan.chosen)} of {plan.confirm} to confirm the best: {most}")
    elif plan.confirm and plan.chosen is None:
        again = [dataclasses.replace(config, holdout=0.0) for config in configs]
        most = _sum_text([_most(plan.confirm, again, num_images)])
        lines.append(f"  then   up to {plan.confirm} to confirm the best: {most}")
    elif plan.confirm:
        lines.append(f"  then   nothing: {plan.confirm} have confirmed the best")
    return "\n".join(lines)


def _left(store: Store, configs: Sequence[TrainConfig]) -> list[Left]:
    """How much is left of each."""
    store.refresh_trials([config.trial_key for config in configs])
    standings = [read_summary(store.trial_folder(config.trial_key)) for config in configs]
    return [
        Left(config, 0 if trial_status(standing).is_final else config.epochs - standing.epochs_done)
        for config, standing in zip(configs, standings, strict=True)
    ]


def _most(
    num_trials: int, configs: Sequence[TrainConfig], num_images: tuple[int, int] | None
) -> tuple[int, int | None]:
    """Epochs and images of so many trials, all as large as the largest of these configurations."""
    each = [_amount(Left(config, config.epochs), num_images) for config in configs]
    images = [images for _, images in each if images is not None]
    return num_trials * max(epochs for epochs, _ in each), num_trials * max(images) if images else None


def _amount(left: Left, num_images: tuple[int, int] | None) -> tuple[int, int | None]:
    """Epochs, and images where their number is known."""
    return left.epochs, None if num_images is None else left.epochs * images_not_held_out(left.config, num_images[0])


def _sum_text(amounts: Sequence[tuple[int, int | None]]) -> str:
    images = [images for _, images in amounts if images is not None]
    known = f"{sum(images):,} images" if len(images) == len(amounts) else "images unknown"
    return f"{sum(epochs for epochs, _ in amounts):,} epochs, {known}"


def _stored(store: Store) -> Iterator[tuple[TrainConfig, TrialSummary]]:
    for folder in sorted(store.trials_folder.iterdir()):
        if SUPERSEDED in folder.name:
            continue
        standing = read_summary(folder)
        if not standing.config:
            continue
        try:
            config = TrainConfig.from_dict(standing.config)
        except UserError:  # of another version of the program: no plan of ours can mean it
            continue
        yield config, standing


def _furthest(stored: Iterable[tuple[TrainConfig, TrialSummary]]) -> dict[TrainConfig, HowFar]:
    """Configuration, with and without its fingerprint -> how far the furthest of its trials has come."""
    held: dict[TrainConfig, HowFar] = {}
    for config, standing in stored:
        is_final = trial_status(standing).is_final
        found = HowFar(is_final, standing.epochs_done, has_begun(standing), last_sweep(standing) or "")
        for key in (config, dataclasses.replace(config, dataset_fingerprint="")):
            held[key] = max(found, held.get(key, HowFar()))
    return held
