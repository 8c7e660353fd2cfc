"""What a run would have to train, counted from configurations and the store; no data set is loaded."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from results.estimate import Work
from results.holdings import has_begun, last_sweep, reused_text
from results.store import Store
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger import SUPERSEDED, read_standing, trial_status
from trainable.records import Standing


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
    works: tuple[Work, ...] = dataclasses.field(default=(), compare=False)
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
    works: list[Work] = []
    standings = tuple(held.get(config, HowFar()) for config in configs)
    for config, standing in zip(configs, standings, strict=True):
        done += standing.is_final
        begun += not standing.is_final and standing.has_begun
        epochs = 0 if standing.is_final else config.epochs - standing.epochs_done
        epochs_left += epochs
        if num_images is not None and epochs:
            works.append(work_left(config, epochs, num_images))
            images_left += epochs * works[-1].train_images
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


def work_left(config: TrainConfig, epochs: int, num_images: tuple[int, int]) -> Work:
    """
    Args:
        epochs: that are left.
        num_images: of the data set, to train and to test.
    """
    num_train, num_test = num_images
    held_out = round((config.train_subset or num_train) * config.holdout)
    return Work(
        model=config.model,
        batch_size=config.batch_size,
        precision=config.precision,
        epochs=epochs,
        train_images=images_an_epoch(config, num_train),
        eval_images=(config.test_subset or num_test) + held_out,
    )


def images_an_epoch(config: TrainConfig, num_train: int) -> int:
    """Images that an epoch trains on: without those held out and the last incomplete batch."""
    used = num_train if config.train_subset is None else config.train_subset
    used -= round(used * config.holdout)
    return used // config.batch_size * config.batch_size


def plan_text(sweep: str, dataset: str, counts: PlanCounts, notes: Sequence[str], *, is_loaded: bool = False) -> str:
    """For people.

    Args:
        is_loaded: the data set's content is known.
    """
    lines = [f"{sweep}: {counts.trials} trials on {dataset}"]
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
    lines.append(f"  left   {counts.left} trials, {counts.epochs_left:,} epochs, {images}")
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _stored(store: Store) -> Iterator[tuple[TrainConfig, Standing]]:
    for folder in sorted(store.trials_folder.iterdir()):
        if SUPERSEDED in folder.name:
            continue
        standing = read_standing(folder)
        if not standing.config:
            continue
        try:
            config = TrainConfig.from_dict(standing.config)
        except UserError:  # of another version of the program: no plan of ours can mean it
            continue
        yield config, standing


def _furthest(stored: Iterable[tuple[TrainConfig, Standing]]) -> dict[TrainConfig, HowFar]:
    """Configuration, with and without its fingerprint -> how far the furthest of its trials has come."""
    held: dict[TrainConfig, HowFar] = {}
    for config, standing in stored:
        is_final = trial_status(standing).is_final
        found = HowFar(is_final, standing.epochs_done, has_begun(standing), last_sweep(standing) or "")
        for key in (config, dataclasses.replace(config, dataset_fingerprint="")):
            held[key] = max(found, held.get(key, HowFar()))
    return held
