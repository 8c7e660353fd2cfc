"""What a space file may say. Unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from trainable.sweep_name import SWEEP_NAME_PATTERN

Scalar = bool | int | float | str | None
Value = Scalar | list[int | float]

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
SchedulerType = Literal["none", "asha", "hyperband", "median", "pbt"]
Metric = Literal["holdout_error_percent", "holdout_loss", "train_seconds"]
"""What may steer a search: nothing that is measured on the test images."""
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
MAX_SIZE = 1e300
"""Of a parameter: differences stay finite."""
MAX_STEPS = 10**9
"""Between a parameter's ends."""
EXAMPLES = {
    "search": "{algorithm: tpe, num_trials: 20}",
    "parameters": "{lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}}",
    "scheduler": "{type: asha, grace_epochs: 1}",
    "objective": "{metric: holdout_error_percent, goal: minimize}",
    "confirm": "{top: 3, repeats: 3}",
    "when": "batch_size >= 64",
    "warm_start": "published",
    "distribution": "log_uniform_values",
    "num_trials": "20",
    "resources": "{cpus: 1, gpus: 0.25 if batch_size <= 128 else 1}",
    "cpus": "1",
    "gpus": "0.25 if batch_size <= 128 else 1",
}
"""Key -> what a refusal shows to be typed."""


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

    @model_validator(mode="after")
    def _is_choice_or_range(self) -> "Parameter":
        if self.values is not None:
            if not {"min", "max", "distribution", "q"}.isdisjoint(self.model_fields_set):
                raise ValueError("give either values, or min and max (distribution and q go with these)")
            kinds = [(isinstance(value, bool), value) for value in self.values]  # 32.0 is 32, true is not 1
            if twice := [value for kind, value in kinds if kinds.count((kind, value)) > 1]:
                raise ValueError(f"values holds {twice[0]!r} twice")
        elif self.min is None or self.max is None:
            raise ValueError("give either values: [...] or min: ... and max: ...")
        else:
            self._check_range(self.min, self.max)
        return self

    def _check_range(self, low: float, high: float) -> None:
        kind, span = self.distribution_resolved, f"got min {low!r} and max {high!r}"
        if not (abs(low) <= MAX_SIZE and abs(high) <= MAX_SIZE):
            raise ValueError(f"min and max must be finite numbers, at most {MAX_SIZE:g} in size")
        if low > high:
            raise ValueError(f"min must be below max, {span}: exchange them")
        if low == high:
            raise ValueError(f"min must be below max, {span}: one value alone goes into defaults")
        if "log" in kind and low <= 0:
            raise ValueError(f"{kind} needs a min above 0, {span}")
        if self.q is not None and not kind.startswith("q_"):
            raise ValueError("q goes with distribution: q_uniform or q_log_uniform_values")
        if self.q is None and kind.startswith("q_"):
            raise ValueError(f"{kind} needs q, its step: q: {(high - low) / 10:g}")
        if self.q is not None and not (high - low) / MAX_STEPS <= self.q <= high - low:
            raise ValueError(
                f"q must be above 0 and at most max - min, got q {self.q!r}, {span.removeprefix('got ')}"
            )

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Min and max; None where there are values."""
        return None if self.min is None or self.max is None else (self.min, self.max)

    @property
    def distribution_resolved(self) -> Distribution:
        """As the file says, else uniform, or int_uniform between whole numbers."""
        is_whole = isinstance(self.min, int) and isinstance(self.max, int)
        return self.distribution or ("int_uniform" if is_whole else "uniform")


class SearchSpec(_Strict):
    """How trials are proposed."""

    algorithm: Algorithm
    num_trials: Count | None = None
    """Distinct configurations; needed by all algorithms but `grid`, which has as many as its values give."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the algorithm, not of the trainings."""
    warm_start: Annotated[str, Field(min_length=1)] | None = None
    """Earlier results to begin from: a sweep's name, the path of a trials.parquet, or `published`."""

    @model_validator(mode="after")
    def _knows_its_end(self) -> "SearchSpec":
        if self.num_trials is None and self.algorithm != "grid":
            raise ValueError(f"{self.algorithm} needs num_trials, for example num_trials: 20")
        return self


SCHEDULER_KEYS: dict[SchedulerType, tuple[str, ...]] = {
    "none": (),
    "asha": ("grace_epochs", "reduction_factor", "brackets"),
    "hyperband": ("grace_epochs", "reduction_factor", "brackets"),
    "median": ("grace_epochs", "min_trials"),
    "pbt": ("population", "quantile", "perturb", "resample_probability"),
}
"""What each type understands beside `type`."""
HYPERBAND_BRACKETS = 3


class SchedulerSpec(_Strict):
    """Which trials are stopped before their end; `pbt`: which go on, and with what (see sweep.search.population)."""

    type: SchedulerType
    grace_epochs: Count = 1
    """Epochs before which no trial is stopped; `asha` and `hyperband`: the first rung of the first bracket."""
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] = 3
    """`asha`, `hyperband`: of so many trials at a rung one goes on."""
    brackets: Annotated[int, Field(ge=1, le=100)] = 1
    """`asha`, `hyperband` (there 3 by default): bracket s begins to stop at grace_epochs * reduction_factor**s."""
    min_trials: Count = 3
    """`median`: trials that must have come as far before one is compared with them."""
    population: Annotated[int, Field(ge=2, le=MAX_COUNT)] = 8
    """`pbt`: members; each trains for a trial's epochs, then they are compared, and that again."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """`pbt`: fraction of the members that go on from one of the best as many; at least one does."""
    perturb: Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1)] = [0.8, 1.2]
    """`pbt`: what such a member's numbers are multiplied by, one of these at random."""
    resample_probability: Annotated[float, Field(ge=0, le=1)] = 0.25
    """`pbt`: how often such a member's parameter is drawn anew instead."""

    @model_validator(mode="before")
    @classmethod
    def _hyperband_has_brackets(cls, given: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
        if isinstance(given, dict) and given.get("type") == "hyperband":
            return {"brackets": HYPERBAND_BRACKETS, **given}
        return given

    @model_validator(mode="after")
    def _has_the_keys_of_its_type(self) -> "SchedulerSpec":
        valid = SCHEDULER_KEYS[self.type]
        for key in sorted(self.model_fields_set - {"type", *valid}):
            raise ValueError(f"{key} means nothing to {self.type}, which has {' '.join(valid) or 'no keys'}")
        return self


class ObjectiveSpec(_Strict):
    """What a search makes small."""

    metric: Metric = "holdout_error_percent"
    """`train_seconds` (of training alone, so far) only as the second of two objectives."""
    goal: Literal["minimize"] = "minimize"

    @field_validator("metric", mode="before")
    @classmethod
    def _is_not_of_test(cls, given: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
        if isinstance(given, str) and "test" in given:
            raise ValueError(f"{given} is of the test images, which steer nothing: metric: holdout_error_percent")
        return given


def _as_list(given: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    return [given] if isinstance(given, dict) else given


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
    population: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None


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
        if not any((self.set, self.derive, self.search, self.scheduler, self.confirm)):
            raise ValueError("a scale needs set or derive: without them it changes nothing")
        if both := self.set.keys() & self.derive.keys():
            raise ValueError(f"{min(both)!r} is derived too: give it in set or in derive, not in both")
        return self


AUTO = "auto"


class ResourceSpec(_Strict):
    """What a trial is given of a machine: numbers, or expressions over training fields and what `derive` uses."""

    cpus: int | float | str | None = None
    """Also, rounded down, the number of threads that it computes with; 1 by default."""
    gpus: int | float | str | None = None
    """A fraction of one GPU, whole ones, or `auto`: measured before the sweep. By default one where there are."""


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
    objective: Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=2), BeforeValidator(_as_list)] | None = (
        None
    )
    """One, which may stand without a list, or two: then there is no best trial but a front."""
    confirm: ConfirmSpec | None = None
    resources: ResourceSpec | None = None
    """How trials are run, not what they are: no part of their keys."""

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
