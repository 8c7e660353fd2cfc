"""Train some finished trials of a sweep again, without Ray and without writing into the store, and compare."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.user_code import UserCodeError, provide
from results.parquet.collect import Collector, Row
from results.store.manifest import Manifest
from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.evaluation import load_images
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import WEIGHTS
from trainable.ledger.reading import read_trial
from trainable.ledger.safetensors import StoredWeights, parse_weights
from trainable.records import Status, TrialFiles
from trainable.sweep_name import TRIALS
from trainable.wording import command, counted, one_line

if TYPE_CHECKING:
    from trainable.data.contract import ImageData
    from trainable.repetition import Repetition


@dataclass(frozen=True, slots=True)
class Draw:
    """Which trials to train again."""

    count: int
    """Number of trials; all that are finished if there are fewer."""
    seed: int
    """The same seed draws the same trials."""
    data: Path | None = None
    label: str | None = None
    """The values of --data and --label."""


@dataclass(frozen=True, slots=True)
class Told:
    """A line for the user."""

    text: str
    is_damage: bool = False
    """Whether the same execution gave another result than the recorded one."""


def retrain(store: Store, sweep: str, draw: Draw) -> Iterator[Told]:
    """Draw finished trials, train them again up to their last recorded epoch, and tell of each what came out.

    Raises:
        UserError: there is no such sweep, or its images are not there.
    """
    manifest = store.manifest(sweep)
    rows = Collector(store, manifest).tables()[0].to_pylist()
    finished = [
        row for row in rows if not row["superseded"] and Status(row["status"]).is_final and row["epochs_done"]
    ]
    possible = [row for row in finished if row["parent"] is None]
    if len(possible) < len(finished):
        begin = counted(len(finished) - len(possible), "trial begins", "trials begin")
        yield Told(f"{begin} with the state of another one: not drawn")
    possible.sort(key=lambda row: row["trial_key"])
    drawn = random.Random(draw.seed).sample(possible, min(draw.count, len(possible)))  # noqa: S311
    if not drawn:
        yield Told(f"{sweep} has no finished trial that can be trained again")
        return
    seconds = format_seconds(sum(row["total_seconds"] for row in drawn))
    trials = f"{len(drawn)} of {counted(len(possible), 'finished trial')}"
    yield Told(f"training {trials} again, which took {seconds} when they were recorded")
    provide(manifest.sources)
    data = _own_images(manifest, _config_of(store, drawn[0]), draw)
    for row in drawn:
        yield _retrained(store, row, data)


def _config_of(store: Store, row: Row) -> TrainConfig:
    return TrainConfig.from_dict(read_trial(store.trial_folder(row["trial_key"])).config)


def _own_images(manifest: Manifest, config: TrainConfig, draw: Draw) -> "ImageData":
    """Load the images that the sweep was trained on.

    Raises:
        UserError: they are not there, or are others.
    """
    data = load_images(manifest, config, draw.data, draw.label)
    if data.fingerprint != config.dataset_fingerprint:
        raise UserError(f"{data.name} holds other images or labels than {manifest.name} was trained on: give --data")
    return data


def _retrained(store: Store, row: Row, data: "ImageData") -> Told:
    """Train a trial again, and say in one line whether it gave the same."""
    from trainable.repetition import repeat  # imports torch, which a mistake need not wait for

    key = row["trial_key"]
    files = read_trial(store.trial_folder(key))
    epochs = files.epochs[: row["epochs_done"]]
    end = files.end if row["stopped_epoch"] is None else None
    weights = _kept_weights(store, key) if end is not None and end.status is Status.COMPLETE else None
    if files.damage or not files.attempts or not epochs:
        return Told(f"{key}: not trained again, its records are damaged")
    config = TrainConfig.from_dict(files.config)
    if config.dataset_fingerprint != data.fingerprint:
        return Told(f"{key}: not trained again, it is on other images")
    started = time.monotonic()
    try:
        found = repeat(config, data, TrialFiles(files.config, epochs, files.attempts, end), weights)
    except UserError as error:
        return Told(f"{key}: not trained again: {error}")
    except (UserCodeError, RuntimeError) as error:  # the latter if memory ends
        return Told(f"{key}: not trained again: {one_line(error)}")
    return _told(store, key, len(epochs), found, time.monotonic() - started)


def _told(store: Store, key: str, num_epochs: int, found: "Repetition", seconds: float) -> Told:
    other = f"other execution ({'; '.join(found.other_execution)})" if found.other_execution else ""
    if not found.file:
        what = f"{counted(num_epochs, 'epoch')}{' and the weights' if found.has_weights else ''}"
        although = f", even by {other}" if other else ""
        return Told(f"{key}: {what} bit for bit equal{although}, in {format_seconds(seconds)}")
    if other:
        return Told(f"{key}: not equal, by {other}: first in {found.difference}")
    again = f"the same execution gives the same bits: `{command('retry', key)}{store.option}` has it trained again"
    place = f"{store.location()}/{TRIALS}/{key}/{found.file}"
    return Told(f"{place} does not hold what training gives, {found.difference}: {again}", is_damage=True)


def _kept_weights(store: Store, key: str) -> StoredWeights | None:
    """Return the weights of a trial; None if they are not kept, or damaged, which is named elsewhere."""
    try:
        content = store.read_path(f"{TRIALS}/{key}/{WEIGHTS}")
        return None if content is None else parse_weights(content, key)
    except (OSError, ValueError):
        return None
