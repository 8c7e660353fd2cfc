"""Compare a sweep in the store with a new space of the same name, and extend the sweep by that space."""

import dataclasses
from collections.abc import Sequence, Set

from models.user_code import is_reference, split_reference
from results.store.manifest import Manifest, without_sources
from results.store.store import Store
from sweep.trial_label import describe, telling_fields
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.ledger.reading import trial_status
from trainable.rounding import tidied
from trainable.wording import counted, say

SHOWN = 5
"""Number of removed and of added trials that are shown; the others are counted."""


def with_earlier_trials(store: Store, manifest: Manifest, *, extend: bool) -> Manifest:
    """Join the trials with those of the store's sweep of this name, if that is asked for or was done before.

    `run` and `plan` both ask this function. Removed and added trials are printed. Trials without a result of an
    earlier content of a model's file are left out.

    Raises:
        UserError: the sweep stands for other trials.
    """
    existing, replaced = store.find_manifest(manifest.name), ""
    if existing is not None and not manifest.is_search:
        manifest = _with_earlier_keys(existing, manifest)
        keys = store.replaced_trials(existing, manifest)
        replaced = _replaced_text(existing, manifest, keys)
        kept = [trial for trial in existing.trials if trial.config.trial_key not in keys]
        existing = dataclasses.replace(existing, trials=kept)
        if stands_for(existing, manifest):
            manifest = dataclasses.replace(existing, keep_weights=manifest.keep_weights)
        else:
            if changed := changed_code_text(store, existing, manifest):
                say(changed, flush=True)
            if extend:
                manifest = extended(existing, manifest)
            elif changes := changes_text(existing, manifest):
                say(changes, flush=True)
    store.check_extends(manifest)
    if replaced:
        say(replaced, flush=True)
    if existing is not None:
        sources = {code.fingerprint: code for code in (*existing.sources, *manifest.sources)}
        manifest = dataclasses.replace(manifest, sources=list(sources.values()))
    return manifest


def changed_code_text(store: Store, old: Manifest, new: Manifest) -> str:
    """Name the files of models and losses whose content has changed, and count the trials of the earlier one."""
    now = {code for trial in new.trials for code in _code(trial.config)}
    files = {split_reference(reference)[0] for reference, _ in now}
    lines = []
    for file in sorted(files):
        earlier = [trial.config.trial_key for trial in old.trials if _is_of_earlier(trial.config, file, now)]
        finished = sum(trial_status(summary).is_final for summary in store.summaries(earlier).values())
        if earlier:
            trials = counted(len(earlier), "trial is", "trials are")
            lines.append(
                f"note: {file} has changed since: {trials} of its earlier content ({finished} finished), and kept in "
                "the store"
            )
    return "\n".join(lines)


def _replaced_text(old: Manifest, new: Manifest, keys: Set[str]) -> str:
    """Say that trials of another content have no result and are dropped; empty if there are none."""
    now = {code for trial in new.trials for code in _code(trial.config)}
    codes = {code for trial in old.trials if trial.config.trial_key in keys for code in _code(trial.config)}
    files = " and ".join(sorted({split_reference(reference)[0] for reference, _ in codes - now}))
    trials = counted(len(keys), "trial without a result is", "trials without a result are")
    return f"note: {files} has changed since: {trials} dropped for those of its present content" if keys else ""


def _code(config: TrainConfig) -> list[tuple[str, str | None]]:
    """Return reference and fingerprint of the model and the loss, where they are the user's own."""
    pairs = ((config.model, config.model_fingerprint), (config.loss, config.loss_fingerprint))
    return [(name, fingerprint) for name, fingerprint in pairs if name is not None and is_reference(name)]


def _is_of_earlier(config: TrainConfig, file: str, now: Set[tuple[str, str | None]]) -> bool:
    """Return whether a trial uses this file with a content that it has in none of the new trials."""
    used = {fingerprint for reference, fingerprint in _code(config) if split_reference(reference)[0] == file}
    return not used <= {fingerprint for reference, fingerprint in now if split_reference(reference)[0] == file}


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
    of_both = [{without_sources(trial.config) for trial in trials} for trials in (removed, added)]
    if not removed or of_both[0] == of_both[1]:  # nothing, or only the content of a file has changed
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
