"""Values and names as a report writes them."""

import json
from datetime import datetime

from models.names import display_name
from results.parquet.settings import recipe_words
from results.parquet.trials import Cell, Trial
from trainable.wording import counted, format_value

Facts = list[tuple[str, str]]
"""(name, value) in reading order."""


def trial_anchor(trial: Trial) -> str:
    """Return the anchor of the row of a trial, unique in the report."""
    return f"trial-{trial.row.trial_key}"


def config_words(cell: Cell) -> str:
    """Return a configuration in the words of the published tables."""
    config = cell.config
    return ", ".join(
        [
            f"{display_name(config.model)}, batch size {config.batch_size}, lr {config.lr:.6g}, {config.schedule}",
            counted(config.epochs, "epoch"),
            *recipe_words(config),
        ]
    )


def moment(time: datetime | None) -> str:
    """Return a time (UTC) to the second."""
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def named_values(text: str) -> str:
    """Return the values of a JSON object in its order, as `b 2, a 1`."""
    return ", ".join(f"{name} {plain(value)}" for name, value in json.loads(text).items()) or "-"


def plain(value: object) -> str:
    """Return the value of a training field as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value == "" else format_value(value, none="-")
