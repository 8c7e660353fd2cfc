"""Evaluate the weights of a trial on the test images of its own data set or of another one."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.user_code import UserCodeError, provide
from results.store.manifest import Manifest
from sweep.trial_weights import TrialWeights
from trainable.config import TrainConfig
from trainable.data.contract import ImageData, Images, Labels
from trainable.data.sources import load_dataset
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.processors import idle_processors, usable_processors
from trainable.wording import command, counted, json_text, listed, one_line, shortened

NUM_WORST = 16
MOST_CLASSES = 20
"""Largest number of classes for which the whole table of confusions is shown."""
MOST_CONFUSIONS = 20
MOST_NAMED = 5
NAME_WIDTH = 24


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What the weights say of the test images of a data set."""

    sweep: str
    trial_key: str
    dataset: str
    class_names: list[str]
    images: Images
    labels: Labels
    predicted: Labels
    losses: NDArray[np.float32]
    """Cross entropy of each image in nats."""
    loss: float
    precision: str
    """Number format of the computation."""
    recorded_error_percent: float | None
    """Test error that the trial recorded on these images; None if they are others."""

    @property
    def error_percent(self) -> float:
        """Share of the images with another predicted class than their own, in percent."""
        wrong = int((self.predicted != self.labels).sum())
        return 100.0 * wrong / len(self.labels)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Number of images by true class (row) and predicted class (column)."""
        count = len(self.class_names)
        found = np.bincount(self.labels * count + self.predicted, minlength=count * count)
        return found.reshape(count, count)

    @property
    def worst(self) -> list[int]:
        """Positions of the images with the largest losses, the largest first."""
        losses = np.nan_to_num(self.losses, nan=np.inf)
        return [int(position) for position in np.argsort(-losses, kind="stable")[:NUM_WORST]]

    def classes(self, position: int) -> tuple[str, str]:
        """Return the names of an image's class and of the predicted one."""
        return self.class_names[self.labels[position]], self.class_names[self.predicted[position]]


def load_images(manifest: Manifest, config: TrainConfig, folder: Path | None, label: str | None) -> ImageData:
    """Load the images in a folder, else those that a trial of the sweep was trained on.

    Args:
        folder, label: the values of --data and --label.

    Raises:
        UserError: there are no such images.
    """
    if folder is None and manifest.data:
        folder, label = Path(manifest.data), label or manifest.label or None
        if not folder.is_dir():
            raise UserError(f"the images of {config.dataset!r} are no longer in {folder}: give their folder, --data")
    return load_dataset(config.dataset, folder, label)


def images_for(found: TrialWeights, folder: Path | None, label: str | None) -> tuple[ImageData, bool]:
    """Load the data set to evaluate on, and return whether the trial was trained on it.

    Args:
        folder: the value of --data; None for the sweep's own data set.
        label: the value of --label.

    Raises:
        UserError: there is no such data set, or the trial's network cannot be used on it.
    """
    config = found.config
    data = load_images(found.manifest, config, folder, label)
    is_own = data.fingerprint == config.dataset_fingerprint
    if folder is None and not is_own:
        where = found.manifest.data or data.name
        raise UserError(f"{where} holds other images than {found.name} was trained on: give --data")
    from trainable.saved_weights import Metadata  # imports torch, which a mistake need not wait for

    metadata = Metadata.of(found.weights)
    if data.num_classes != metadata.num_classes:
        theirs = counted(data.num_classes, "class", "classes")
        raise UserError(f"{data.name} has {theirs}, and the network of {found.name} has {metadata.num_classes}")
    size = [*data.test_images.shape[1:3]]
    if size != metadata.image_size:
        theirs, ours = ("x".join(map(str, sides)) for sides in (size, metadata.image_size))
        raise UserError(f"the images of {data.name} are {theirs}, and {found.name} was trained on {ours}")
    if is_own:
        images, labels = data.test_images[: config.test_subset], data.test_labels[: config.test_subset]
        data = dataclasses.replace(data, name=config.dataset, test_images=images, test_labels=labels)
    return numbered_as(data, metadata.class_names, found.name), is_own


def numbered_as(data: ImageData, trained: list[str], trial: str) -> ImageData:
    """Return the data set with its classes in the order of those that the trial was trained on.

    Raises:
        UserError: their names differ.
    """
    if not trained or not data.class_names or trained == [*data.class_names]:
        return data
    if {*trained} != {*data.class_names}:
        theirs, ours = (
            listed([shortened(name, NAME_WIDTH) for name in names], MOST_NAMED)
            for names in (data.class_names, trained)
        )
        raise UserError(f"the classes of {data.name} ({theirs}) are not those of {trial} ({ours}): use its names")
    numbers = np.array([trained.index(name) for name in data.class_names], dtype=data.test_labels.dtype)
    return dataclasses.replace(data, class_names=tuple(trained), test_labels=numbers[data.test_labels])


def evaluate_weights(found: TrialWeights, data: ImageData, *, is_own: bool) -> Evaluation:
    """Evaluate the weights on the test images of a data set.

    On its own images a trial is evaluated with as many threads as it was trained, since the last digits depend on
    them.

    Raises:
        UserError: the trial's own model cannot be used here.
    """
    from trainable.evaluation import predictions
    from trainable.saved_weights import Metadata

    summary, metadata = found.summary, Metadata.of(found.weights)
    provide(found.manifest.sources)
    trained_with = [attempt.num_threads for attempt in summary.attempts[-1:] if is_own]
    threads = min(*trained_with, usable_processors()) if trained_with else idle_processors()
    try:
        result = predictions(found.weights, data.test_images, data.test_labels, threads)
    except (UserCodeError, RuntimeError, LookupError) as error:
        why = str(error) if isinstance(error, UserCodeError) else one_line(error)
        raise UserError(f"the network of {found.name} cannot be evaluated: {why}") from None
    is_counted = is_own and SUPERSEDED not in found.name
    names = data.class_names or metadata.class_names or [str(number) for number in range(data.num_classes)]
    return Evaluation(
        sweep=found.manifest.name,
        trial_key=found.name,
        dataset=data.name,
        class_names=list(names),
        images=data.test_images,
        labels=data.test_labels,
        predicted=result.predicted,
        losses=result.losses,
        loss=result.loss,
        precision=result.precision,
        recorded_error_percent=summary.test_error_percent if is_counted else None,
    )


def evaluation_json(evaluation: Evaluation, picture: str) -> str:
    """Write everything as JSON.

    Args:
        picture: where the picture of the worst images lies.
    """
    worst = [
        {
            "position": position,
            "true": evaluation.classes(position)[0],
            "predicted": evaluation.classes(position)[1],
            "loss": _finite(float(evaluation.losses[position])),
        }
        for position in evaluation.worst
    ]
    told = ("sweep", "trial_key", "dataset", "precision", "error_percent", "recorded_error_percent")
    values = {name: getattr(evaluation, name) for name in (*told, "class_names")}
    values |= {"loss": _finite(evaluation.loss), "num_images": len(evaluation.labels)}
    values |= {"confusion": evaluation.confusion.tolist(), "worst": worst, "picture": picture}
    return json_text(values)


def evaluation_text(evaluation: Evaluation) -> str:
    """Write error, loss and confusions for people."""
    count = len(evaluation.labels)
    wrong = int((evaluation.predicted != evaluation.labels).sum())
    recorded = ""
    if evaluation.recorded_error_percent is not None:
        is_same = evaluation.recorded_error_percent == evaluation.error_percent
        recorded = ", as recorded" if is_same else f", recorded {evaluation.recorded_error_percent:.2f} %"
    lines = [
        f"{evaluation.sweep} {evaluation.trial_key} on {counted(count, 'test image')} of {evaluation.dataset}",
        f"  error  {evaluation.error_percent:.2f} % ({wrong} of {count}{recorded})",
        f"  loss   {evaluation.loss:.4f} nats",
        "",
    ]
    is_small = len(evaluation.class_names) <= MOST_CLASSES
    return "\n".join(lines + (_table(evaluation) if is_small else _most_frequent(evaluation)))


def _table(evaluation: Evaluation) -> list[str]:
    """Return the whole table of confusions; columns have numbers, which the rows explain where classes have names."""
    numbers = [str(number) for number in range(len(evaluation.class_names))]
    names = [shortened(name, NAME_WIDTH) for name in evaluation.class_names]
    width = max(map(len, names))
    explained = [f"{name.ljust(width)}  {number:>2}" for name, number in zip(names, numbers, strict=True)]
    rows = [["true class", *numbers]]
    for name, counts in zip(names if names == numbers else explained, evaluation.confusion, strict=True):
        rows.append([name, *(str(count) if count else "." for count in counts)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["predicted class in columns, number of images:"]
    for name, *cells in rows:
        shown = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"  {name.ljust(widths[0])}", *shown]).rstrip())
    return lines


def _most_frequent(evaluation: Evaluation) -> list[str]:
    """Return the most frequent confusions; --json has all of them."""
    confusion = evaluation.confusion.copy()
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [divmod(int(position), len(confusion)) for position in order]
    shown = [(true, predicted) for true, predicted in pairs if confusion[true, predicted]]
    names: Sequence[str] = [shortened(name, NAME_WIDTH) for name in evaluation.class_names]
    lines = [f"most frequent confusions (`{command('evaluate', evaluation.sweep)} --json` has all):"]
    return lines + [
        f"  {confusion[true, predicted]:5}  {names[true]} taken for {names[predicted]}" for true, predicted in shown
    ]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
