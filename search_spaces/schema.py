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


class Part(_Strict):
    """One of several pieces of a space: its own rows and grid, on top of its own defaults and the space's."""

    defaults: dict[str, Value] = {}
    rows: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    grid: Annotated[dict[str, Axis], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> "Part":
        if self.rows is None and self.grid is None:
            raise ValueError("a part needs rows or grid: without them it holds no trial")
        return self


class Scale(_Strict):
    """The same space at another size: what takes the place of the full-scale values."""

    set: dict[str, Value] = {}
    derive: dict[str, str] = {}
    """Field -> expression over the full-scale values, for example `epochs: max(1, round(epochs / 100))`."""

    @model_validator(mode="after")
    def _changes_something(self) -> "Scale":
        if not self.set and not self.derive:
            raise ValueError("a scale needs set or derive: without them it changes nothing")
        if both := self.set.keys() & self.derive.keys():
            raise ValueError(f"{min(both)!r} is derived too: give it in set or in derive, not in both")
        return self


Name = Annotated[str, Field(pattern=f"^{SWEEP_NAME_PATTERN}$")]


class Space(_Strict):
    """A space: `rows` one by one, the product of `grid`, then its `parts`, each on top of `defaults`."""

    name: Name | None = None
    """Of the sweep, where the user gives none; the file's name otherwise."""
    description: str = ""
    reference: list[str] = []
    """Names of the published tables that the space's trials answer to (see results.published)."""
    defaults: dict[str, Value] = {}
    rows: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    grid: Annotated[dict[str, Axis], Field(min_length=1)] | None = None
    parts: Annotated[list[Part], Field(min_length=1)] | None = None
    derive: dict[str, str] = {}
    """Key -> expression over other keys, for example `lr: base_lr * batch_size / 128`."""
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 1
    """Seeds a configuration: `seed`, `seed + 1`, ..."""
    scales: dict[Name, Scale] = {}
    """What `--scale NAME` makes of the trials."""

    @model_validator(mode="after")
    def _holds_something(self) -> "Space":
        if self.rows is None and self.grid is None and self.parts is None:
            raise ValueError("the space needs rows or grid (or parts): without them it holds no trial")
        return self


def axis_values(axis: list[Value] | Values) -> list[Value]:
    """The values of an axis, whichever way they were written."""
    if isinstance(axis, Values):
        return [axis.value] if axis.values is None else axis.values
    return axis
