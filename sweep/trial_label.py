"""How a trial is named in one line: by the values that tell it apart from the others."""

from collections.abc import Mapping, Sequence

from results.parquet.settings import recipe_fields
from results.parquet.trials import varying_fields
from trainable.config import FIELD_NAMES, TrainConfig, value_of
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.wording import format_value, printable_line

DEFAULT_FIELDS = ("model", "batch_size", "lr")
"""The fields that name a trial if nothing tells it apart, with its `recipe_fields`."""
WITHOUT_NAME = ("model", "dataset", "schedule")
"""Fields whose values speak for themselves in a short label."""
LONG_NAME = 8
"""Number of characters above which a name is abbreviated in a short label."""
SHORT_DIGITS = 4


def telling_fields(configs: Sequence[TrainConfig], fields: Sequence[str] = ()) -> list[str]:
    """Return the fields that tell these configurations apart: `fields` or else those that vary, and the seed."""
    seed = ["seed"] if len({config.seed for config in configs}) > 1 else []
    return [name for name in (*(fields or varying_fields(configs)), *seed) if name != "dataset_fingerprint"]


def describe(config: TrainConfig, fields: Sequence[str], variables: Mapping[str, float | str] | None = None) -> str:
    """Return a label such as `weight_decay=0.0005 seed=1`."""
    values = _values(config, fields, variables)
    return printable_line(
        " ".join(f"{name}={format_value(value, none='null', separator=',')}" for name, value in values.items())
    )


def short_label(
    config: TrainConfig, fields: Sequence[str], variables: Mapping[str, float | str] | None = None
) -> str:
    """Return a label such as `wd=5e-4 s1`, for a narrow table."""
    values = _values(config, fields, variables)
    initials = [_initials(name) for name in values]
    return " ".join(
        _short(short if initials.count(short) == 1 else name, name, value)
        for short, (name, value) in zip(initials, values.items(), strict=True)
    )


def _values(
    config: TrainConfig, fields: Sequence[str], variables: Mapping[str, float | str] | None
) -> dict[str, object]:
    known: dict[str, object] = {**(variables or {}), **{name: getattr(config, name) for name in FIELD_NAMES}}
    fields = fields or (*DEFAULT_FIELDS, *recipe_fields(config))
    known |= {name: value_of(config, name) for name in fields if name.startswith(ARGUMENT_PREFIX)}
    values = {name: known[name] for name in fields if name in known}
    return {name: value for name, value in values.items() if value is not None} or values


def _initials(name: str) -> str:
    """Abbreviate a long name of several words: `wd` for `weight_decay`."""
    words = [word for word in name.split("_") if word]
    return "".join(word[0] for word in words) if len(name) > LONG_NAME and len(words) > 1 else name


def _short(label: str, name: str, value: object) -> str:
    if name == "seed":
        return f"s{value}"
    text = _short_number(value) if isinstance(value, float) else format_value(value, none="null", separator=",")
    return text if name in WITHOUT_NAME else f"{label}={text}"


def _short_number(value: float) -> str:
    """Return the shorter of `0.05` and `5e-2`, the decimal if both are as long."""
    mantissa, _, exponent = f"{value:.{SHORT_DIGITS - 1}e}".partition("e")
    decimal = format_value(value, digits=SHORT_DIGITS)
    return min(decimal, f"{float(mantissa):g}e{int(exponent or 0)}", key=len)
