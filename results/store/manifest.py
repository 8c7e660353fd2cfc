"""What a sweep consists of, and its file in the store."""

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from models.user_code import UserCode
from trainable.config import PlannedTrial, TrainConfig
from trainable.decoding import Timestamp, decode
from trainable.errors import UserError
from trainable.ledger.checksums import sealed, unsealed
from trainable.records import SCHEMA_VERSION, KeepWeights

MANIFEST = "sweep.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The trials of a sweep, and where they come from."""

    name: str
    trials: list[PlannedTrial]
    space: str
    """The YAML text of the space."""
    overrides: dict[str, Any]
    """The values that --set put over those of the space."""
    code: str
    """Identity of the source that planned the sweep."""
    scale: str | None = None
    """The scale of the space that was asked for; None is its full size."""
    extends: list[dict[str, Any]] = field(default_factory=list)
    """The earlier spaces of the sweep, oldest first: space, overrides, scale, code and created of each."""
    is_search: bool = False
    """Whether a search proposes the trials; its log holds them, and `trials` is empty."""
    created: Timestamp = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """Time at which the sweep was planned, UTC, ISO 8601."""
    data: str = ""
    """The folder that --data named when the sweep was planned, for messages only; empty without --data."""
    sources: list[UserCode] = field(default_factory=list)
    """Sources of the models and losses of the user's own, of this space and of earlier ones."""
    label: str = ""
    """The labels that --label named then, for messages only; empty without --label."""
    keep_weights: KeepWeights = "best"
    """Names the completed trials whose weights are kept, as the space said last."""

    repeats: dict[str, float] | None = None
    """Limits of the seeds of each configuration, `max` and `budget`, where the errors decide on them."""

    @property
    def keys(self) -> list[str]:
        """Keys of the trials, in the order of the plan."""
        return [trial.config.trial_key for trial in self.trials]

    @property
    def images(self) -> set[tuple[str, str]]:
        """Data set and fingerprint of the trials."""
        return {(trial.config.dataset, trial.config.dataset_fingerprint) for trial in self.trials}


def without_sources(config: TrainConfig) -> TrainConfig:
    """Return a configuration that does not tell the contents of the user's files."""
    return dataclasses.replace(config, model_fingerprint=None, loss_fingerprint=None)


def manifest_to_json(manifest: Manifest) -> bytes:
    """Return the content of the manifest's file."""
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": manifest.name,
        "created": manifest.created,
        "code": manifest.code,
        "overrides": manifest.overrides,
        "scale": manifest.scale,
        "space": manifest.space,
        "extends": manifest.extends,
        "is_search": manifest.is_search,
        **({"data": manifest.data} if manifest.data else {}),
        **({"sources": [dataclasses.asdict(code) for code in manifest.sources]} if manifest.sources else {}),
        **({"label": manifest.label} if manifest.label else {}),
        **({"keep_weights": manifest.keep_weights} if manifest.keep_weights != "best" else {}),
        **({"repeats": manifest.repeats} if manifest.repeats else {}),
        "trials": [
            {"config": trial.config.to_dict(), "repeat": trial.repeat, "variables": dict(trial.variables)}
            for trial in manifest.trials
        ],
    }
    return sealed(values, indent=1)


def manifest_from_json(content: bytes, name: str, location: str) -> Manifest:
    """Parse the file of a manifest that lies in the folder of the sweep `name`; messages name its `location`.

    Raises:
        UserError: the manifest is damaged, or belongs to another sweep.
    """
    try:
        values = unsealed(content)
        if isinstance(values, dict):
            values.pop("schema_version", None)
        manifest = decode(Manifest, values)
    except ValueError as error:
        if "unknown key" in str(error):  # perhaps of a later version
            raise UserError(f"{location}: {error}") from None
        why = "" if isinstance(error, json.JSONDecodeError) else f" ({error})"
        raise UserError(
            f"{location} is damaged{why}: delete it and run the sweep again (its trials are kept)"
        ) from None
    if manifest.name != name:
        raise UserError(f"{location} is of the sweep {manifest.name!r}: give the folder that name again")
    return manifest
