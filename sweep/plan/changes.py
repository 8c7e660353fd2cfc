"""What another space under a sweep's name would change, and the sweep that stands for both."""

import dataclasses
from collections.abc import Sequence

from results.parquet.trials import varying_fields
from results.store.store import Manifest
from sweep.trial_label import describe
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError

SHOWN = 5
"""Trials of each kind that are shown; the others are counted."""


def changes_text(old: Manifest, new: Manifest) -> str:
    """For people: `-` a trial that is no longer there, `+` one that is new; empty where none would be lost."""
    lost = _missing(old, new)
    added = _missing(new, old)
    if not lost:
        return ""
    configs = [trial.config for trial in (*old.trials, *new.trials)]
    fields = varying_fields(configs)
    if len({config.seed for config in configs}) > 1:
        fields.append("seed")
    shown = [name for name in fields if name != "dataset_fingerprint"] or fields
    return "\n".join(
        [
            f"{new.name}: of its {len(old.trials)} trials {len(lost)} are no longer there, {len(added)} are new",
            *_lines("-", [trial.config for trial in lost], shown),
            *_lines("+", [trial.config for trial in added], shown),
        ]
    )


def stands_for(old: Manifest, new: Manifest) -> bool:
    """Whether a sweep that was extended has all trials of the new space: either file then runs the whole sweep."""
    return bool(old.extends) and not _missing(new, old)


def extended(old: Manifest, new: Manifest) -> Manifest:
    """The sweep that stands for the trials of both: the old ones first, then the new ones.

    Raises:
        UserError: they are on different images.
    """
    if len(old.images | new.images) > 1:
        raise UserError(
            f"a sweep has one data set, and {new.name!r} has trials on other images than these: "
            "give this run another --name"
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


def _missing(manifest: Manifest, among: Manifest) -> list[PlannedTrial]:
    """The manifest's trials that are not among the other's."""
    there = set(among.keys)
    return [trial for trial in manifest.trials if trial.config.trial_key not in there]


def _lines(sign: str, configs: Sequence[TrainConfig], fields: list[str]) -> list[str]:
    lines = [f"{sign} {describe(config, fields)}" for config in configs[:SHOWN]]
    if len(configs) > SHOWN:
        lines.append(f"{sign} ... and {len(configs) - SHOWN} more")
    return lines
