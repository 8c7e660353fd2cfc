"""Spaces that the program writes: trials with the keys of stored ones, so that `run` reuses what is finished."""

from collections.abc import Iterable, Sequence
from typing import Any

from models.user_code import is_file, is_reference, split_reference
from trainable.config import TrainConfig
from trainable.field_checks import ARGUMENT_PREFIX

NOT_WRITTEN = ("dataset_fingerprint", "model_fingerprint", "loss_fingerprint", "parent", "recipe_version")
"""Fields that the program computes, so that a space does not state them."""


def space_content(
    name: str, description: str, configs: Sequence[TrainConfig], varied: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a space with these configurations as rows; what all of them share is in `defaults`.

    Args:
        varied: fields that are in the rows in any case.
    """
    written = [_fields(config) for config in configs]
    shared = {
        key: value
        for key, value in written[0].items()
        if key not in varied and all(key in row and row[key] == value for row in written)
    }
    rows = [{key: value for key, value in row.items() if key not in shared} for row in written]
    if not rows[0]:
        rows = [{"epochs": shared.pop("epochs")}]
    return {"name": name, "description": description, "defaults": shared, "rows": rows}


def own_files_comment(configs: Iterable[TrainConfig]) -> str:
    """Return a comment that names the files of own models and losses that must lie beside the space."""
    own = [name for config in configs for name in (config.model, config.loss) if name is not None]
    files = sorted({file for file, _ in map(split_reference, filter(is_reference, own)) if is_file(file)})
    return f"# Put {' and '.join(files)} beside this file, unchanged since that sweep.\n" if files else ""


def _fields(config: TrainConfig) -> dict[str, Any]:
    fields = {field: value for field, value in config.to_dict().items() if field not in NOT_WRITTEN}
    fields |= {f"{ARGUMENT_PREFIX}{key}": value for key, value in fields.pop("model_args", {}).items()}
    return {field: value for field, value in fields.items() if value is not None}
