"""Who goes on from whom in population based training, whose trials train a generation each."""

from collections.abc import Mapping


def lineage(parents: Mapping[str, str | None], trial_key: str) -> list[str]:
    """Keys of the trials that make one training, the first first, `trial_key` last.

    Args:
        parents: trial key -> its parent's, None where it has none.
    """
    keys = [trial_key]
    while (parent := parents.get(keys[-1])) is not None and parent not in keys:
        keys.append(parent)
    return keys[::-1]
