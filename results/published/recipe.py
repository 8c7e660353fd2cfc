"""How the published rows were trained, read from `recipe.json`, and where a training of ours departs from it."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from results.published.cells import FOLDER
from trainable.config import TrainConfig
from trainable.wording import format_value

RECIPE_FILE = "recipe.json"
SCHEDULE_FIELDS = {"milestones": "multistep", "lr_min_factor": "cosine"}
"""Fields that one schedule alone uses."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all published rows have in common."""

    source: str
    num_test_images: int
    precision: str
    fields: Mapping[str, Any]
    """Training field -> value. Milestones are those of the 160-epoch rows, as fractions: no others are printed."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A training field in which a run is not what the published row was."""

    field: str
    ours: str
    published: str

    def __str__(self) -> str:
        return f"{self.field} {self.ours} in place of {self.published}"


@functools.cache
def published_recipe() -> Recipe:
    """The recipe behind both files of published rows."""
    values = json.loads((FOLDER / RECIPE_FILE).read_text(encoding="utf-8"))
    return Recipe(**{**values, "fields": MappingProxyType(values["fields"])})


def departures(config: TrainConfig, recipe: Recipe) -> list[Departure]:
    """The fields in which a training is not the recipe's; those that its schedule does not use are left out."""
    found = []
    for name, published in recipe.fields.items():
        ours = config.to_dict()[name]
        if SCHEDULE_FIELDS.get(name, config.schedule) == config.schedule and ours != published:
            words = [format_value(value, digits=None, none="all") for value in (ours, published)]
            found.append(Departure(name, *words))
    return found
