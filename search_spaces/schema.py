"""What a space file may say. Unknown keys are refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = bool | int | float | str | None
Value = Scalar | list[int | float]

SWEEP_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Also what a sweep may be called: it becomes a folder of the store and cannot lead out of it."""
MAX_REPEATS = 1000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Values(_Strict):
    """The long form of a grid's axis, spelled as in a W&B sweep: `values: [...]` or `value: x`."""

    values: Annotated[list[Value], Field(min_length=1)] | None = None
    value: Value = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Values":
        if (self.values is None) == (self.value is None):
            raise ValueError("give either values or value")
        return self


Axis = Annotated[list[Value], Field(min_length=1)] | Values
"""Values of one key of a grid."""


class Space(_Strict):
    """A space: `rows` one by one, and the product of `grid`, each on top of `defaults`."""

    name: Annotated[str, Field(pattern=f"^{SWEEP_NAME_PATTERN}$")] | None = None
    """Of the sweep, where the user gives none; the file's name otherwise."""
    description: str = ""
    defaults: dict[str, Value] = {}
    rows: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    grid: Annotated[dict[str, Axis], Field(min_length=1)] | None = None
    derive: dict[str, str] = {}
    """Key -> expression over other keys, for example `lr: base_lr * batch_size / 128`."""
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 1
    """Seeds a configuration: `seed`, `seed + 1`, ..."""

    @model_validator(mode="after")
    def _holds_something(self) -> "Space":
        if self.rows is None and self.grid is None:
            raise ValueError("the space needs rows or grid: without them it holds no trial")
        return self


def axis_values(axis: list[Value] | Values) -> list[Value]:
    """The values of an axis, whichever way they were written."""
    if isinstance(axis, Values):
        return [axis.value] if axis.values is None else axis.values
    return axis
