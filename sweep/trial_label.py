"""How a trial is named in one line: by the values that tell it apart from the others."""

from collections.abc import Mapping, Sequence

from results.parquet.axes import varying_names, zero_if_none
from results.parquet.settings import recipe_fields
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
MAX_RUN_NAME = 100
"""Largest number of characters of a name for a tracker, which also names a folder."""
KEY_DIGITS = 8
"""Number of characters of the trial key that tell equal names apart."""


def telling_fields(configs: Sequence[TrainConfig], fields: Sequence[str] = ()) -> list[str]:
    """Return the fields that tell these configurations apart: `fields` or else those that vary, and the seed."""
    seed = ["seed"] if len({config.seed for config in configs}) > 1 else []
    return [name for name in (*(fields or varying_names(configs)), *seed) if name != "dataset_fingerprint"]


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


def run_name(config: TrainConfig, fields: Sequence[str], taken: set[str]) -> str:
    """Return a name for a tracker such as `batch_size=128, lr=0.1, seed 1`, and add it to the names that are taken.

    A name that is taken, or cut off because it is long, has the beginning of the trial key at its end.
    """
    words = {
        name: format_value(value, digits=SHORT_DIGITS, none="null", separator=" ")
        for name, value in _values(config, fields, None).items()
    }
    full = ", ".join(f"seed {word}" if name == "seed" else f"{name}={word}" for name, word in words.items())
    name = full[:MAX_RUN_NAME].strip() or config.trial_key
    if name in taken or name != full:
        name = f"{name} {config.trial_key[:KEY_DIGITS]}"
    taken.add(name)
    return name


def _values(
    config: TrainConfig, fields: Sequence[str], variables: Mapping[str, float | str] | None
) -> dict[str, object]:
    known: dict[str, object] = {**(variables or {}), **{name: getattr(config, name) for name in FIELD_NAMES}}
    fields = fields or (*DEFAULT_FIELDS, *recipe_fields(config))
    known |= {name: value_of(config, name) for name in fields if name.startswith(ARGUMENT_PREFIX)}
    values = {name: zero_if_none(name, known[name]) for name in fields if name in known}
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
