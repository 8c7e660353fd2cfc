"""What a run would have to train, counted from configurations and the store; no data set is loaded."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from results.store import Store
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger import read_trial, trial_status
from trainable.records import TrialFiles


@dataclasses.dataclass(frozen=True, slots=True)
class PlanCounts:
    """Of the trials of a space against a store."""

    trials: int
    done: int
    """COMPLETE, STOPPED or DIVERGED."""
    begun: int
    """With epochs that need not be trained again; not among `done`."""
    epochs_left: int
    images_left: int | None
    """Images to train on, each counted once an epoch; None where the data set's size is not known."""
    store: str | None
    """The store that was looked at; None where there is none."""

    @property
    def left(self) -> int:
        return self.trials - self.done


def plan_counts(store: Store, configs: Sequence[TrainConfig], num_images: tuple[int, int] | None) -> PlanCounts:
    """Count; nothing is written.

    A stored trial counts where everything but the data set's fingerprint is the same: the fingerprint is
    known only once the data set is loaded. Of several such trials the one that has come furthest counts.

    Args:
        configs: distinct, not tied to a data set's content.
        num_images: of the data set, to train and to test; None where unknown.

    Raises:
        UserError: a batch or a subset larger than the data set.
    """
    if num_images is not None:
        configs = [config.for_dataset(config.dataset, "", *num_images) for config in configs]
    store.refresh_trials()
    exists = store.trials_folder.is_dir()
    held = _furthest(_stored(store)) if exists else {}
    done = begun = epochs_left = images_left = 0
    for config in configs:
        epochs_done, is_final = held.get(config, (0, False))
        done += is_final
        begun += not is_final and epochs_done > 0
        epochs = 0 if is_final else config.epochs - epochs_done
        epochs_left += epochs
        images_left += epochs * (images_an_epoch(config, num_images[0]) if num_images else 0)
    return PlanCounts(
        trials=len(configs),
        done=done,
        begun=begun,
        epochs_left=epochs_left,
        images_left=None if num_images is None else images_left,
        store=store.shown() if exists else None,
    )


def images_an_epoch(config: TrainConfig, num_train: int) -> int:
    """Images that an epoch trains on: without those held out and the last incomplete batch."""
    used = num_train if config.train_subset is None else config.train_subset
    used -= round(used * config.holdout)
    return used // config.batch_size * config.batch_size


def plan_text(sweep: str, dataset: str, counts: PlanCounts, notes: Sequence[str]) -> str:
    """For people."""
    lines = [f"{sweep}: {counts.trials} trials on {dataset}"]
    if counts.store is None:
        lines.append("  done   0 (there is no store yet)")
    else:
        begun = f", {counts.begun} begun" if counts.begun else ""
        lines.append(
            f"  done   {counts.done}{begun} in {counts.store} "
            "(matched on all but the data set's content, which is not loaded)"
        )
    images = "images unknown" if counts.images_left is None else f"{counts.images_left:,} images"
    lines.append(f"  left   {counts.left} trials, {counts.epochs_left:,} epochs, {images}")
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _stored(store: Store) -> Iterator[tuple[TrainConfig, TrialFiles]]:
    for folder in sorted(store.trials_folder.iterdir()):
        files = read_trial(folder)
        if not files.config:
            continue
        try:
            config = TrainConfig.from_dict(files.config)
        except UserError:  # of another version of the program: no plan of ours can mean it
            continue
        yield config, files


def _furthest(stored: Iterable[tuple[TrainConfig, TrialFiles]]) -> dict[TrainConfig, tuple[int, bool]]:
    """Configuration without its fingerprint -> (epochs done, whether nothing is left to do)."""
    held: dict[TrainConfig, tuple[int, bool]] = {}
    for config, files in stored:
        key = dataclasses.replace(config, dataset_fingerprint="")
        found = (len(files.epochs), trial_status(files).is_final)
        held[key] = max(found, held.get(key, (0, False)), key=lambda one: (one[1], one[0]))
    return held
