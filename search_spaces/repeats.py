"""The key `repeats` of a space: a number of seeds, or limits within which the errors decide it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from trainable.config import FIRST_REPEATS

MAX_REPEATS = 1000
FIXED, ADAPTIVE = "fixed", "adaptive"


class RepeatsSpec(BaseModel):
    """The number of seeds of each configuration is what it takes to tell the best one from the others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    max: Annotated[int, Field(ge=2, le=MAX_REPEATS)] = 10
    """Largest number of seeds of a configuration. Every configuration begins with two."""
    budget: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """Largest number of trials in all, as a share of `max` for every configuration. Trials that are finished stay."""
    until: Literal["separated"] = "separated"
    """When to end before that: once the best configuration is separated from all others."""


def _form(given: Any) -> str:  # noqa: ANN401 (whatever the file holds)
    return ADAPTIVE if isinstance(given, dict | RepeatsSpec) else FIXED


Repeats = Annotated[
    Annotated[int, Field(ge=1, le=MAX_REPEATS), Tag(FIXED)] | Annotated[RepeatsSpec, Tag(ADAPTIVE)],
    Discriminator(_form),
]


def num_first(repeats: int | RepeatsSpec) -> int:
    """Return the number of seeds that every configuration begins with."""
    return repeats if isinstance(repeats, int) else FIRST_REPEATS


def num_most(repeats: int | RepeatsSpec) -> int:
    """Return the largest number of seeds of a configuration."""
    return repeats if isinstance(repeats, int) else repeats.max
