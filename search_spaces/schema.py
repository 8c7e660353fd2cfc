"""What a space file may say. Unknown keys are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = bool | int | float | str | None
Value = Scalar | list[int | float]

SWEEP_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Also what a sweep may be called: it becomes a folder of the store and cannot lead out of it."""
MAX_REPEATS = 1000
MAX_COUNT = 10**6
"""Of epochs and trials: beyond it somebody mistyped."""


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


Algorithm = Literal["grid", "random", "tpe", "gp", "cmaes", "qmc"]
Distribution = Literal["uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values"]
SchedulerType = Literal["none", "asha", "hyperband", "median"]
Metric = Literal["holdout_error_percent", "holdout_loss", "train_seconds"]
"""What may steer a search: nothing that is measured on the test images."""
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class Parameter(_Strict):
    """What a search may propose for one key, spelled as in a W&B sweep: `values`, or `min` and `max`."""

    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    min: int | float | None = None
    max: int | float | None = None
    distribution: Distribution | None = None
    """Of numbers between min and max; by default uniform, or int_uniform where both are whole."""
    q: int | float | None = None
    """Step of a distribution that begins with `q_`, counted from `min`."""
    when: str | None = None
    """Expression over parameters above this one; where it is false the key keeps its default."""


class SearchSpec(_Strict):
    """How trials are proposed."""

    algorithm: Algorithm
    num_trials: Count | None = None
    """Distinct configurations; needed by all algorithms but `grid`, which has as many as its values give."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the algorithm, not of the trainings."""
    warm_start: str | None = None
    """Earlier results to begin from: a sweep's name, the path of a trials.parquet, or `published`."""


class SchedulerSpec(_Strict):
    """Which trials are stopped before their end."""

    type: SchedulerType = "none"
    grace_epochs: Count = 1
    """Epochs before which no trial is stopped; `asha` and `hyperband`: the first rung of the first bracket."""
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] = 3
    """`asha`, `hyperband`: of so many trials at a rung one goes on."""
    brackets: Annotated[int, Field(ge=1, le=100)] = 1
    """`asha`, `hyperband` (there 3 by default): bracket s begins to stop at grace_epochs * reduction_factor**s."""
    min_trials: Count = 3
    """`median`: trials that must have come as far before one is compared with them."""


class ObjectiveSpec(_Strict):
    """What a search makes small."""

    metric: Metric = "holdout_error_percent"
    """`train_seconds` (of training alone, so far) only as the second of two objectives."""
    goal: Literal["minimize"] = "minimize"


class ConfirmSpec(_Strict):
    """The best configurations of a search are trained again on all of the training images."""

    top: Count = 1
    """How many configurations; the best first."""
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 3
    """Seeds a configuration."""


class ScaledSearch(_Strict):
    """What a scale may change of `search`."""

    num_trials: Count | None = None


class ScaledScheduler(_Strict):
    """What a scale may change of `scheduler`."""

    grace_epochs: Count | None = None
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] | None = None
    brackets: Annotated[int, Field(ge=1, le=100)] | None = None
    min_trials: Count | None = None


class ScaledConfirm(_Strict):
    """What a scale may change of `confirm`."""

    top: Count | None = None
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] | None = None


class Scale(_Strict):
    """The same space at another size: what takes the place of the full-scale values."""

    set: dict[str, Value] = {}
    derive: dict[str, str] = {}
    """Field -> expression over the full-scale values, for example `epochs: max(1, round(epochs / 100))`."""
    search: ScaledSearch | None = None
    scheduler: ScaledScheduler | None = None
    confirm: ScaledConfirm | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "Scale":
        if not self.model_fields_set:
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
    search: SearchSpec | None = None
    """A search: its trials are proposed one after the other; takes the place of rows, grid and parts."""
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)] | None = None
    """What a search may propose."""
    scheduler: SchedulerSpec | None = None
    objective: ObjectiveSpec | Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=2)] | None = None
    """One, or two: then there is no best trial but a front."""
    confirm: ConfirmSpec | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> "Space":
        if self.rows is None and self.grid is None and self.parts is None and self.search is None:
            raise ValueError("the space needs rows or grid (or parts, or search): without them it holds no trial")
        return self


def axis_values(axis: list[Value] | Values) -> list[Value]:
    """The values of an axis, whichever way they were written."""
    if isinstance(axis, Values):
        return [axis.value] if axis.values is None else axis.values
    return axis
