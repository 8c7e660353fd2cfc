"""The order of the trials in population based training, where each trial trains one generation."""

from collections.abc import Mapping


def lineage(parents: Mapping[str, str | None], trial_key: str) -> list[str]:
    """Return the keys of the trials that make the training which ends with `trial_key`, oldest first.

    Args:
        parents: key of each trial's parent, by the trial's key; None if it has none.
        trial_key: the last trial.
    """
    keys = [trial_key]
    while (parent := parents.get(keys[-1])) is not None and parent not in keys:
        keys.append(parent)
    return keys[::-1]
