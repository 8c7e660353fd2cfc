"""Count what a run would have to train, from configurations and the store; no data set is loaded."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from results.store.holdings import has_begun, last_sweep
from results.store.store import Store
from sweep.estimate.work import TrialWork, trial_work
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.reading import read_summary, trial_status
from trainable.records import TrialSummary


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class TrialProgress:
    """The progress of a trial in the store; the greater of two is further along."""

    is_final: bool = False
    epochs_done: int = 0
    has_begun: bool = False
    sweep: str = ""
    """The sweep whose run worked on the trial last; empty if there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a store holds of the trials of a space, and what is left of them."""

    trials: int
    done: int
    """Number of trials that are COMPLETE, STOPPED or DIVERGED."""
    begun: int
    """Number of unfinished trials that have an attempt, or epochs that need not be trained again."""
    epochs_left: int
    images_left: int
    """Number of images to train on, counted once per epoch."""
    store: str | None
    """The store that was read; None if it does not exist."""
    progress: tuple[TrialProgress, ...] = ()
    """Progress of each trial, in the order of the plan."""
    works: tuple[TrialWork, ...] = dataclasses.field(default=(), compare=False)
    """Work left of each unfinished trial."""

    @property
    def left(self) -> int:
        return self.trials - self.done

    @property
    def trained_by(self) -> dict[str | None, int]:
        """Sweep -> number of finished trials that its runs trained."""
        return dict(Counter(progress.sweep or None for progress in self.progress if progress.is_final))


def plan_counts(store: Store, configs: Sequence[TrainConfig], num_images: tuple[int, int]) -> PlanCounts:
    """Count what is done and what is left. Nothing is written.

    A configuration that is not tied to the content of a data set matches every stored trial that is equal except for
    the fingerprint; of several such trials the one that is furthest along counts.

    Args:
        configs: distinct configurations.
        num_images: number of the data set's images to train and to test.

    Raises:
        UserError: a batch or a subset is larger than the data set.
    """
    configs = [config.for_dataset(config.dataset, config.dataset_fingerprint, *num_images) for config in configs]
    held = _furthest(_stored(store.all_trials()))
    found = tuple(held.get(config, TrialProgress()) for config in configs)
    epochs_left = [
        0 if progress.is_final else config.epochs - progress.epochs_done
        for config, progress in zip(configs, found, strict=True)
    ]
    left = zip(configs, epochs_left, strict=True)
    works = [trial_work(config, epochs, num_images) for config, epochs in left if epochs]
    return PlanCounts(
        trials=len(configs),
        done=sum(progress.is_final for progress in found),
        begun=sum(progress.has_begun and not progress.is_final for progress in found),
        epochs_left=sum(epochs_left),
        images_left=sum(work.epochs * work.train_images_per_epoch for work in works),
        store=store.location() if store.trials_folder.is_dir() else None,
        progress=found,
        works=tuple(works),
    )


def _stored(folders: Iterable[Path]) -> Iterator[tuple[TrainConfig, TrialSummary]]:
    for folder in folders:
        summary = read_summary(folder)
        if not summary.config:
            continue
        try:
            config = TrainConfig.from_dict(summary.config)
        except UserError:  # written by another version of the program: no plan of ours can mean it
            continue
        yield config, summary


def _furthest(stored: Iterable[tuple[TrainConfig, TrialSummary]]) -> dict[TrainConfig, TrialProgress]:
    """Return configuration, with and without its fingerprint -> progress of the trial that is furthest along."""
    held: dict[TrainConfig, TrialProgress] = {}
    for config, summary in stored:
        is_final = trial_status(summary).is_final
        found = TrialProgress(is_final, summary.epochs_done, has_begun(summary), last_sweep(summary) or "")
        for key in (config, dataclasses.replace(config, dataset_fingerprint="")):
            held[key] = max(found, held.get(key, TrialProgress()))
    return held


def amount_text(num_epochs: int, num_images: int) -> str:
    """Return `1,200 epochs, 60,000,000 images`, the images counted once per epoch."""
    return f"{num_epochs:,} epoch{'s' * (num_epochs != 1)}, {num_images:,} image{'s' * (num_images != 1)}"
