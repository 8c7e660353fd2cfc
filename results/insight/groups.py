"""Groups of runs with equal settings but batch size, learning rate and seed, from a sweep or the published rows."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.names import display_name
from results.insight.noise import Trial as Predictions
from results.insight.runs import SATURATED_SHARE, Run
from results.parquet.trials import Trial, variants
from results.published.cells import (
    LONGER_FILE,
    MEDIAN_VARIANCE,
    PUBLISHED,
    SEED_FILE,
    SEQUEL_FILE,
    PublishedCell,
    published_cells,
)
from trainable.config import FIELD_NAMES, TrainConfig
from trainable.data.sizes import NUM_CLASSES
from trainable.grouping import grouped
from trainable.records import PUBLISHED_EPOCHS, PUBLISHED_MODEL, Status
from trainable.wording import counted

WITHIN_GROUP = ("batch_size", "lr", "seed", "noise_scale")
"""Training fields in which the runs of a group may differ."""
NAMED_FIELDS = (*WITHIN_GROUP, "model", "schedule", "epochs", "holdout", "recipe_version")
"""Training fields that a label gives by itself, or that need no word."""
ASSUMED_CLASSES = 10
LEFT_OUT = "left out"
CHOSEN_ON_TEST = "no images were held out: rates are chosen on the test images, so the best errors come out too low"


class Error(StrEnum):
    """The images on which the errors of a group were measured."""

    HOLDOUT = "held-out error"
    TEST = "test error"


@dataclass(frozen=True, slots=True)
class Group:
    """Runs with equal settings but batch size, learning rate and seed."""

    label: str
    """Model, schedule, epochs and what else sets the group apart."""
    family: tuple[object, ...]
    """Value that groups share if they differ in their epochs alone."""
    epochs: int
    error: Error
    runs: tuple[Run, ...]
    """Errors after the last epoch; infinite for a run that diverged."""
    cautions: tuple[str, ...]
    """What limits the group's figures besides what its runs show; sentences without their full stop."""
    chance_error_percent: float = 90.0
    predictions: tuple[Predictions, ...] = ()
    """The test images that each run got right, where they are known for all."""
    config: TrainConfig | None = None
    """Configuration of the first run; None for published rows."""


def groups_of_published() -> list[Group]:
    """Return the published rows in groups; a run that several tables print counts once.

    Those of the sequel stand apart: their final learning rate was another one.
    """
    sources = {"": (SEED_FILE, LONGER_FILE), "sequel": (SEQUEL_FILE,)}
    groups = []
    for source, files in sources.items():
        cells = [cell for file in files for cell in published_cells(file)]
        kinds = grouped(cells, lambda cell: (cell.model, cell.schedule, cell.epochs, cell.configuration.variant))
        groups += [_published_group(members, source) for members in kinds.values()]
    return groups


def _published_group(cells: Sequence[PublishedCell], source: str) -> Group:
    first, variant = cells[0], cells[0].configuration.variant
    runs = {(cell.configuration, cell.error_printed, cell.num_runs, cell.hardware): cell for cell in cells}.values()
    return Group(
        label=_label(first.model, first.schedule, first.epochs, variant, source or PUBLISHED),
        family=(source, first.model, first.schedule, variant),
        epochs=first.epochs,
        error=Error.TEST,
        runs=tuple(
            Run(cell.batch_size, cell.lr, cell.test_error_percent, MEDIAN_VARIANCE[cell.num_runs]) for cell in runs
        ),
        cautions=(CHOSEN_ON_TEST,),
    )


def _label(model: str, schedule: str, epochs: int, *more: str) -> str:
    return ", ".join(filter(None, (display_name(model), schedule, counted(epochs, "epoch"), *more)))


def groups_of_trials(trials: Iterable[Trial], *, scale: str = "", num_classes: int | None = None) -> list[Group]:
    """Return the trials of a sweep in groups.

    Args:
        trials: rows of the sweep, without superseded ones.
        scale: the scale of its space; empty for the full size.
        num_classes: of the data set; None if it is built in or unknown.
    """
    trials = list(trials)
    chance, assumption = _chance_error(trials, num_classes)
    names = [name for name in FIELD_NAMES if name not in WITHIN_GROUP]
    has_datasets = len({trial.config.dataset for trial in trials}) > 1
    words = dict(zip(map(id, trials), variants([trial.config for trial in trials], NAMED_FIELDS), strict=True))
    groups = []
    for members in grouped(trials, lambda trial: tuple(getattr(trial.config, name) for name in names)).values():
        config = members[0].config
        error = Error.HOLDOUT if config.holdout else Error.TEST
        cautions = [
            CHOSEN_ON_TEST * (error is Error.TEST),
            _scale(members[0], scale),
            *_left_out(members),
            assumption,
        ]
        used = [trial for trial in members if _is_final(trial)]
        groups.append(
            Group(
                label=_label(
                    config.model,
                    config.schedule,
                    config.epochs,
                    config.dataset * has_datasets,
                    words[id(members[0])],
                ),
                family=tuple(getattr(config, name) for name in names if name != "epochs"),
                epochs=config.epochs,
                error=error,
                runs=tuple(Run(trial.config.batch_size, trial.config.lr, _error(trial, error)) for trial in used),
                cautions=tuple(filter(None, cautions)),
                chance_error_percent=chance,
                predictions=tuple(_predictions(used, chance)),
                config=config,
            )
        )
    return groups


def _is_final(trial: Trial) -> bool:
    """Return whether the trial began with random weights and trained to its end, or diverged."""
    return trial.config.parent is None and trial.status in (Status.COMPLETE, Status.DIVERGED)


def _error(trial: Trial, error: Error) -> float:
    row = trial.row
    value = row.holdout_error_percent if error is Error.HOLDOUT else row.test_error_percent
    return math.inf if value is None or trial.status is Status.DIVERGED else value


def _predictions(trials: Sequence[Trial], chance: float) -> list[Predictions]:
    """Return the record of every run that is better than chance, if they have equally many test images."""
    found = []
    for trial in trials:
        bits, error = trial.row.test_correct_bits, trial.row.test_error_percent
        if bits and error is not None and error < SATURATED_SHARE * chance:
            correct = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.bool_)
            found.append(Predictions(f"{trial.config.batch_size} {trial.config.lr!r}", correct))
    return found if len({len(record.correct) for record in found}) == 1 else []


def _chance_error(trials: Sequence[Trial], num_classes: int | None) -> tuple[float, str]:
    """Return the error of guessing in percent, and a caution where the number of classes is not known."""
    names = {trial.config.dataset for trial in trials}
    known = {NUM_CLASSES.get(name) for name in names} if num_classes is None else {num_classes}
    number = known.pop() if len(known) == 1 else None
    if number is not None:
        return 100 * (1 - 1 / number), ""
    worst = max((trial.row.test_error_percent or 0.0 for trial in trials), default=0.0)
    chance = max(100 * (1 - 1 / ASSUMED_CLASSES), worst)
    if worst < 100 * SATURATED_SHARE / 2:  # better than guessing among any number of classes
        return chance, ""
    return chance, (
        f"the number of classes is not known: errors above {SATURATED_SHARE * chance:.0f} % count as guessing "
        "(`insight --classes N` tells it)"
    )


def _scale(trial: Trial, scale: str) -> str:
    """Return a caution if the training is smaller than the one it stands for."""
    config, variables = trial.config, json.loads(trial.row.variables)
    epochs, model = variables.get(PUBLISHED_EPOCHS, config.epochs), variables.get(PUBLISHED_MODEL, config.model)
    smaller = [f"{counted(config.epochs, 'epoch')} instead of {epochs:g}"] * (epochs != config.epochs)
    smaller += [f"{display_name(config.model)} instead of {display_name(model)}"] * (model != config.model)
    if not scale and not smaller:
        return ""
    detail = f" ({', '.join(smaller)})" if smaller else ""
    return f"trained at {f'the scale {scale}' if scale else 'a smaller scale'}{detail}: full size may differ"


def _left_out(trials: Sequence[Trial]) -> list[str]:
    """Return cautions about trials that have no final error."""
    reasons = {
        "stopped early, so that the error is not final": lambda trial: trial.status is Status.STOPPED,
        "failed": lambda trial: trial.status is Status.FAILED,
        "not finished": lambda trial: trial.status is Status.INCOMPLETE,
        "begun with another trial's weights": lambda trial: trial.config.parent is not None,
    }
    numbers = {reason: sum(map(applies, trials)) for reason, applies in reasons.items()}
    return [
        f"{counted(number, 'trial is', 'trials are')} left out: {why}" for why, number in numbers.items() if number
    ]
