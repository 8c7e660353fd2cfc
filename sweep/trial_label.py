"""How a trial is named in one line."""

from collections.abc import Mapping

from trainable.config import FIELD_NAMES, TrainConfig


def describe(config: TrainConfig, fields: list[str], variables: Mapping[str, float | str] | None = None) -> str:
    """`batch_size=128 lr=0.1`: a trial by what sets it apart from the others."""
    known = {**(variables or {}), **{name: getattr(config, name) for name in FIELD_NAMES}}
    values = {name: known.get(name) for name in fields or ["model", "batch_size", "lr"]}
    return " ".join(f"{name}={_plain(value)}" for name, value in values.items() if value is not None)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
