"""The settings of the published runs, read from `recipe.json`, and how our trainings depart from them."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from results.published.cells import FOLDER, OUR_PRECISIONS, Configuration
from trainable.config import TrainConfig
from trainable.rounding import printed_lr
from trainable.wording import format_value

RECIPE_FILE = "recipe.json"
SCHEDULE_FIELDS = {"milestones": "multistep", "lr_min_factor": "cosine"}
"""Training field -> the only schedule that uses it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings that all published runs have in common."""

    source: str
    num_test_images: int
    precision: str
    fields: Mapping[str, Any]
    """Training field -> value. Milestones (fractions) are those of the 160-epoch rows: no others are printed."""
    sequel_fields: Mapping[str, Any]
    """Training field -> value where the runs of the sequel had another one."""
    lars_fields: Mapping[str, Any]
    """Training field -> value where the runs with LARS had another one."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A training field whose value differs between our run and the published one."""

    field: str
    ours: str
    published: str

    def __str__(self) -> str:
        return f"{self.field} {self.ours} instead of {self.published}"


@functools.cache
def published_recipe() -> Recipe:
    """Return the recipe of all published rows."""
    values = json.loads((FOLDER / RECIPE_FILE).read_text(encoding="utf-8"))
    read: dict[str, Any] = {name: MappingProxyType(v) if isinstance(v, dict) else v for name, v in values.items()}
    return Recipe(**read)


def configuration_of(config: TrainConfig) -> Configuration:
    """Return what our training would be called in the published tables; arithmetic that they lack counts as fp32."""
    return Configuration(
        config.model,
        config.batch_size,
        printed_lr(config.lr),
        config.schedule,
        config.epochs,
        config.optimizer or "sgd",
        config.ghost_batch_size,
        config.weight_decay,
        config.weight_decay_on == "all",
        next((name for name, ours in OUR_PRECISIONS.items() if ours == config.precision), "fp32"),
    )


def departures(config: TrainConfig, recipe: Recipe) -> list[Departure]:
    """Return the fields that differ from the recipe, without those that the schedule does not use."""
    found = []
    for name, published in recipe.fields.items():
        ours = getattr(config, name)
        ours = list(ours) if isinstance(ours, tuple) else ours
        if SCHEDULE_FIELDS.get(name, config.schedule) == config.schedule and ours != published:
            words = [
                format_value(value, digits=None, none="all" if "subset" in name else "none")
                for value in (ours, published)
            ]
            found.append(Departure(name, *words))
    if config.loss is not None:
        found.append(Departure("loss", config.loss, "cross entropy"))
    return found
