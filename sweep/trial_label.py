"""How a trial is named in one line."""

from collections.abc import Mapping

from trainable.config import FIELD_NAMES, TrainConfig
from trainable.wording import format_value


def describe(config: TrainConfig, fields: list[str], variables: Mapping[str, float | str] | None = None) -> str:
    """`batch_size=128 lr=0.1`: a trial by what sets it apart from the others."""
    known = {**(variables or {}), **{name: getattr(config, name) for name in FIELD_NAMES}}
    values = {name: known.get(name) for name in fields or ["model", "batch_size", "lr"]}
    return " ".join(
        f"{name}={format_value(value, separator=',')}" for name, value in values.items() if value is not None
    )
