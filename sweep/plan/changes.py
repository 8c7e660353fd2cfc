"""Compare a sweep in the store with a new space of the same name, and extend the sweep by that space."""

import dataclasses
from collections.abc import Sequence

from results.store.manifest import Manifest
from results.store.store import Store
from sweep.trial_label import describe, telling_fields
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.rounding import tidied
from trainable.wording import counted, say

SHOWN = 5
"""Number of removed and of added trials that are shown; the others are counted."""


def with_earlier_trials(store: Store, manifest: Manifest, *, extend: bool) -> Manifest:
    """Join the trials with those of the store's sweep of this name, if that is asked for or was done before.

    `run` and `plan` both ask this function. Removed and added trials are printed.

    Raises:
        UserError: the sweep stands for other trials.
    """
    existing = store.find_manifest(manifest.name)
    if existing is not None and not manifest.is_search:
        manifest = _with_earlier_keys(existing, manifest)
        if stands_for(existing, manifest):
            manifest = dataclasses.replace(existing, keep_weights=manifest.keep_weights)
        elif extend:
            manifest = extended(existing, manifest)
        elif changes := changes_text(existing, manifest):
            say(changes, flush=True)
    store.check_extends(manifest)
    return manifest


def _with_earlier_keys(old: Manifest, new: Manifest) -> Manifest:
    """Give trials the keys that they had while computed values were not tidied, so that they are found again."""
    untidied = {_tidied(trial.config): trial.config for trial in old.trials}
    untidied = {config: earlier for config, earlier in untidied.items() if config != earlier}
    trials = [dataclasses.replace(trial, config=untidied.get(trial.config, trial.config)) for trial in new.trials]
    return dataclasses.replace(new, trials=trials)


def _tidied(config: TrainConfig) -> TrainConfig:
    return TrainConfig.from_dict({name: tidied(value) for name, value in config.to_dict().items()})


def changes_text(old: Manifest, new: Manifest) -> str:
    """Return the removed trials, marked `-`, and the added ones, marked `+`; empty if none would be removed."""
    removed = _missing(old, new)
    added = _missing(new, old)
    if not removed:
        return ""
    configs = [trial.config for trial in (*old.trials, *new.trials)]
    shown = telling_fields(configs) or ["dataset_fingerprint"]
    are = "is" if len(removed) == 1 else "are"
    return "\n".join(
        [
            f"{new.name}: {len(removed)} of its {counted(len(old.trials), 'trial')} {are} no longer in the space, "
            f"{counted(len(added), 'trial is', 'trials are')} new",
            *_lines("-", [trial.config for trial in removed], shown),
            *_lines("+", [trial.config for trial in added], shown),
        ]
    )


def stands_for(old: Manifest, new: Manifest) -> bool:
    """Return whether an extended sweep has all trials of the new space, so that either file runs the whole sweep."""
    return bool(old.extends) and not _missing(new, old)


def extended(old: Manifest, new: Manifest) -> Manifest:
    """Return the sweep with the trials of both: the old ones first, then the new ones.

    Raises:
        UserError: their trials use different images.
    """
    if len(old.images | new.images) > 1:
        raise UserError(
            f"a sweep has one data set, and {new.name!r} has trials on other images: give this run another --name"
        )
    ours = {trial.config.trial_key: trial for trial in new.trials}
    kept = [ours.get(trial.config.trial_key, trial) for trial in old.trials]
    origin = {
        "space": old.space,
        "overrides": old.overrides,
        "scale": old.scale,
        "code": old.code,
        "created": old.created,
    }
    is_other = (old.space, old.overrides, old.scale) != (new.space, new.overrides, new.scale)
    return dataclasses.replace(
        new,
        trials=kept + _missing(new, old),
        extends=[*old.extends, origin] if is_other else old.extends,
    )


def _missing(manifest: Manifest, other: Manifest) -> list[PlannedTrial]:
    """Return the trials of one manifest that the other does not have."""
    keys = set(other.keys)
    return [trial for trial in manifest.trials if trial.config.trial_key not in keys]


def _lines(sign: str, configs: Sequence[TrainConfig], fields: list[str]) -> list[str]:
    lines = [f"{sign} {describe(config, fields)}" for config in configs[:SHOWN]]
    if len(configs) > SHOWN:
        lines.append(f"{sign} ... and {len(configs) - SHOWN} more")
    return lines
