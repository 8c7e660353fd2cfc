"""The kept weights of one trial of a sweep."""

from dataclasses import dataclass
from pathlib import Path

from results.store.manifest import Manifest
from results.store.search_progress import search_record
from results.store.store import Store
from sweep.kept_weights import ranked_keys
from sweep.status.listing import format_bytes
from sweep.status.logs import find_trial
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED, WEIGHTS, write_atomically
from trainable.ledger.reading import trial_status
from trainable.ledger.safetensors import StoredWeights, parse_weights
from trainable.records import Status, TrialSummary
from trainable.sweep_name import TRIALS
from trainable.wording import command, listed

MAX_NAMED = 5
AGAIN = "with `keep_weights: all` in the space, `retry {key}` and the next `run` train it again and keep them"


@dataclass(frozen=True, slots=True)
class TrialWeights:
    """The weights of a completed trial as they are stored."""

    name: str
    """Name of the trial's folder: its key, with what follows it if the training is superseded."""
    manifest: Manifest
    summary: TrialSummary
    content: bytes
    """The content of the file."""
    weights: StoredWeights

    @property
    def config(self) -> TrainConfig:
        """Configuration of the trial."""
        return TrainConfig.from_dict(self.summary.config)


def find_weights(store: Store, sweep: str, word: str | None = None) -> TrialWeights:
    """Read the weights of a trial of the sweep.

    Args:
        word: the trial's key or its beginning; None for the best trial of the sweep.

    Raises:
        UserError: there is no such sweep or trial, or its weights are not kept or damaged.
    """
    manifest = store.manifest(sweep)
    ranked = ranked_keys(store, manifest, search_record(store, manifest))
    if word is None and not ranked:
        raise UserError(f"{sweep} has no completed trial yet: `{command('status', sweep)}{store.option}` says more")
    name = ranked[0] if word is None else find_trial(store, word, sweep)
    key = name.partition(SUPERSEDED)[0]
    summary = store.summaries([key])[key]
    location = f"{store.location()}/{TRIALS}/{name}/{WEIGHTS}"
    if name == key and (status := trial_status(summary)) is not Status.COMPLETE:
        raise UserError(f"{key} is {status}, and only completed trials have weights: {_others(store, ranked)}")
    try:
        content = store.read_path(f"{TRIALS}/{name}/{WEIGHTS}")
    except OSError as error:
        raise UserError(f"cannot read {location}: {error.strerror}") from None
    if content is None:
        raise UserError(f"the weights of {name} are not kept: {_others(store, ranked)}; {AGAIN.format(key=key)}")
    try:
        return TrialWeights(name, manifest, summary, content, parse_weights(content, key))
    except ValueError as error:
        raise UserError(
            f"{location} is damaged ({error}): `{command('verify', sweep, '--repair')}{store.option}` deletes it; "
            f"{AGAIN.format(key=key)}"
        ) from None


def copy_weights(store: Store, found: TrialWeights, target: Path) -> str:
    """Copy the file out of the store, and say what it is.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        write_atomically(target, found.content)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    error_percent = found.summary.test_error_percent
    test = "" if error_percent is None or SUPERSEDED in found.name else f", test error {error_percent:.2f} %"
    size = format_bytes(len(found.content))
    return f"weights of {found.name} ({found.config.model}{test}) written to {target}, {size}"


def _others(store: Store, ranked: list[str]) -> str:
    stored = store.holding(WEIGHTS, ranked)
    others = [key for key in ranked if key in stored]
    return f"those of {listed(others, MAX_NAMED)} are" if others else "nor are those of any other trial of the sweep"
