"""The keys of a space file, their types and their ranges. Unknown keys are refused.

The docstring below a field describes its key in docs/space-reference.md.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from search_spaces.repeats import MAX_REPEATS, Repeats, RepeatsSpec
from trainable.records import KeepWeights
from trainable.sweep_name import SWEEP_NAME_PATTERN
from trainable.wording import format_value

Scalar = bool | int | float | str | None
Value = Scalar | list[int | float | str]

MAX_KEYS = 100
"""Largest number of derived keys, of parameters and of scales."""
MAX_COUNT = 10**6
"""Largest number of epochs or trials; a larger one is a typing mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Values(_Strict):
    """The long form of one axis of a grid, as in a W&B sweep."""

    values: Annotated[list[Value], Field(min_length=1)] | None = None
    """Values of the field; the same as the plain list."""
    value: Value = None
    """The only value of the field."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Values":
        if (self.values is None) == (self.value is None):
            raise ValueError("give either values or value")
        return self


Axis = Annotated[list[Value], Field(min_length=1)] | Values


class Part(_Strict):
    """One of several pieces of a space. Its defaults apply on top of the defaults of the space."""

    defaults: dict[str, Value] = {}
    """Values for all trials of this part."""
    rows: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    """Explicit combinations, one trial each."""
    grid: Annotated[dict[str, Axis], Field(min_length=1)] | None = None
    """Lists of values; every combination is a trial."""

    @model_validator(mode="after")
    def _holds_something(self) -> "Part":
        if self.rows is None and self.grid is None:
            raise ValueError("a part needs rows or grid: without them it has no trials")
        return self


Algorithm = Literal["grid", "random", "tpe", "gp", "mfgp", "cmaes", "qmc"]
Distribution = Literal["uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values"]
SchedulerType = Literal["none", "asha", "promotion", "hyperband", "median", "pbt"]
Metric = Literal["holdout_error_percent", "holdout_loss", "train_seconds"]
"""What a search can minimize. Nothing that is measured on the test images is among them."""
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
MAX_SIZE = 1e300
"""Largest absolute value of a parameter, so that differences stay finite."""
MAX_STEPS = 10**9
"""Largest number of steps between `min` and `max`."""
EXAMPLES = {
    "search": "{algorithm: tpe, num_trials: 20}",
    "parameters": "{lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}}",
    "scheduler": "{type: asha, grace_epochs: 1}",
    "first": "[{lr: 0.1, batch_size: 128}]",
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
"""Example value of a key, for error messages."""


def row_text(row: Mapping[str, Value]) -> str:
    """The values of a row in one line, exactly; it names the row among the choices of a parameter."""
    words = {key: format_value(value if isinstance(value, list) else str(value)) for key, value in row.items()}
    return " ".join(f"{key}={word}" for key, word in words.items())


class Parameter(_Strict):
    """The values that a search may propose for a key: `values`, or `min` and `max`, as in a W&B sweep, or `rows`."""

    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    """Values to choose from, all different."""
    min: int | float | None = None
    """Smallest value, inclusive."""
    max: int | float | None = None
    """Largest value, inclusive."""
    distribution: Distribution | None = None
    """Distribution between `min` and `max`. Default: int_uniform if both are whole numbers, else uniform."""
    q: int | float | None = None
    """Step, counted from `min`; only for a distribution that begins with `q_`."""
    rows: Annotated[list[Annotated[dict[str, Value], Field(min_length=1)]], Field(min_length=1)] | None = None
    """Combinations of values to choose from, as in `rows` of a space; the key names the choice and is no field."""
    when: str | None = None
    """Expression over the parameters above this one. Where it is false, the key keeps its default."""

    @property
    def fields(self) -> list[str]:
        """The keys of the rows."""
        return list(dict.fromkeys(key for row in self.rows or () for key in row))

    @model_validator(mode="after")
    def _is_choice_or_range(self) -> "Parameter":
        if self.rows is not None:
            if self.model_fields_set != {"rows"}:
                raise ValueError("rows stand alone: give either rows, or values, or min and max")
            if twice := [text for text, count in Counter(map(row_text, self.rows)).items() if count > 1]:
                raise ValueError(f"rows holds {twice[0]!r} twice")
        elif self.values is not None:
            if not {"min", "max", "distribution", "q"}.isdisjoint(self.model_fields_set):
                raise ValueError("give either values, or min and max (distribution and q go with these)")
            kinds = Counter((isinstance(value, bool), value) for value in self.values)  # 32.0 is 32, true is not 1
            if repeated := [value for (_, value), count in kinds.items() if count > 1]:
                raise ValueError(f"values holds {repeated[0]!r} twice")
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
            raise ValueError(f"min must be below max, {span}: swap them")
        if low == high:
            raise ValueError(f"min must be below max, {span}: put a single value into defaults")
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
    def distribution_resolved(self) -> Distribution:
        """The distribution with its default filled in."""
        is_whole = isinstance(self.min, int) and isinstance(self.max, int)
        return self.distribution or ("int_uniform" if is_whole else "uniform")


class SearchSpec(_Strict):
    """How a search proposes its trials, one after the other, from `parameters`."""

    algorithm: Algorithm
    """Sampler that proposes the trials; grid tries every combination of `values`."""
    num_trials: Count | None = None
    """Number of different configurations to try. Required, except for grid."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the sampler. It does not change how a trial is trained."""
    warm_start: Annotated[str, Field(min_length=1)] | None = None
    """Earlier results to start from: a sweep's name, the path of a trials.parquet, or `published`."""

    @model_validator(mode="after")
    def _knows_its_end(self) -> "SearchSpec":
        if self.num_trials is None and self.algorithm != "grid":
            raise ValueError(f"{self.algorithm} needs num_trials, for example num_trials: 20")
        return self


SCHEDULER_KEYS: dict[SchedulerType, tuple[str, ...]] = {
    "none": (),
    "asha": ("grace_epochs", "reduction_factor", "brackets"),
    "promotion": ("grace_epochs", "reduction_factor"),
    "hyperband": ("grace_epochs", "reduction_factor", "brackets"),
    "median": ("grace_epochs", "min_trials"),
    "pbt": ("population", "quantile", "perturb", "resample_probability"),
}
"""Keys of each scheduler, besides `type`."""
HYPERBAND_BRACKETS = 3


class SchedulerSpec(_Strict):
    """Which trials of a search are stopped early, or how population based training (pbt) proceeds."""

    type: SchedulerType
    """Scheduler; none trains every trial to its end."""
    grace_epochs: Count = 1
    """asha, promotion, hyperband, median: no trial is stopped before this epoch; the first rung of all but median."""
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] = 3
    """asha, promotion, hyperband: keep the best 1/reduction_factor of the trials at each rung."""
    brackets: Annotated[int, Field(ge=1, le=100)] = 1
    """asha, hyperband (default 3): number of brackets. Bracket s has its first rung at
    grace_epochs * reduction_factor**s."""
    min_trials: Count = 3
    """median: number of trials that must have reached an epoch before another one is compared with them."""
    population: Annotated[int, Field(ge=2, le=MAX_COUNT)] = 8
    """pbt: number of members. In each generation all of them train for `epochs`, then they are compared."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """pbt: fraction of the members that are replaced: each of the worst continues from one of the best. At least one
    is replaced."""
    perturb: Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1)] = [0.8, 1.2]
    """pbt: factors for the parameters of a replaced member; one of them is drawn at random."""
    resample_probability: Annotated[float, Field(ge=0, le=1)] = 0.25
    """pbt: probability that a parameter of a replaced member is drawn at random instead."""

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
            raise ValueError(f"{key} is not a key of {self.type}, which has {', '.join(valid) or 'no keys'}")
        return self


class ObjectiveSpec(_Strict):
    """A quantity that a search minimizes. Two of them, as a list, give a Pareto front instead of one best trial."""

    metric: Metric = "holdout_error_percent"
    """Quantity to minimize. train_seconds (training time) can only be the second of two."""
    goal: Literal["minimize"] = "minimize"
    """Direction; minimize is the only one."""
    seeds: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 1
    """Number of seeds with which each configuration is trained, to be judged by the mean of its values."""

    @field_validator("metric", mode="before")
    @classmethod
    def _is_not_of_test(cls, given: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
        if isinstance(given, str) and "test" in given:
            raise ValueError(
                f"{given} is measured on the test images, which must not steer a search: "
                "metric: holdout_error_percent"
            )
        return given


def _as_list(given: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    return [given] if isinstance(given, dict) else given


class ConfirmSpec(_Strict):
    """After a search, the best configurations are trained again on all of the training images."""

    top: Count = 1
    """Number of configurations, the best ones."""
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 3
    """Number of seeds for each configuration."""


class ScaledSearch(_Strict):
    """The keys of `search` that a scale may change."""

    num_trials: Count | None = None


class ScaledScheduler(_Strict):
    """The keys of `scheduler` that a scale may change."""

    grace_epochs: Count | None = None
    reduction_factor: Annotated[int, Field(ge=2, le=1000)] | None = None
    brackets: Annotated[int, Field(ge=1, le=100)] | None = None
    min_trials: Count | None = None
    population: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None


class ScaledConfirm(_Strict):
    """The keys of `confirm` that a scale may change."""

    top: Count | None = None
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] | None = None


class Scale(_Strict):
    """The same space at another size. `--scale NAME` computes each trial at full size, then applies these changes."""

    set: dict[str, Value] = {}
    """Values that replace the full-scale ones."""
    derive: Annotated[dict[str, str], Field(max_length=MAX_KEYS)] = {}
    """Field and expression over the full-scale values, for example `epochs: max(1, round(epochs / 100))`."""
    search: ScaledSearch | None = None
    """Changes to `search`."""
    scheduler: ScaledScheduler | None = None
    """Changes to `scheduler`."""
    confirm: ScaledConfirm | None = None
    """Changes to `confirm`."""

    @model_validator(mode="after")
    def _changes_something(self) -> "Scale":
        if not any((self.set, self.derive, self.search, self.scheduler, self.confirm)):
            raise ValueError("a scale needs set or derive: without them it changes nothing")
        if both := self.set.keys() & self.derive.keys():
            raise ValueError(f"{min(both)!r} is derived too: give it in set or in derive, not in both")
        return self


AUTO = "auto"


class ResourceSpec(_Strict):
    """The CPUs and GPUs of each trial: numbers, or expressions over training fields. They do not change its key."""

    cpus: int | float | str | None = None
    """CPUs of a trial; rounded down, also its number of threads. Default: 1."""
    gpus: int | float | str | None = None
    """GPUs of a trial: a fraction of one, whole ones, or `auto`, which measures how many trials fit on one.
    Default: 1 if the machine has a GPU."""


Name = Annotated[str, Field(pattern=f"^{SWEEP_NAME_PATTERN}$")]


class Space(_Strict):
    """A space file. It holds `rows`, `grid` or `parts`, or a search: `search` and `parameters`."""

    name: Name | None = None
    """Name of the sweep. Default: the name of the file."""
    description: str = ""
    """Text that `spaces` shows."""
    reference: list[str] = []
    """Names of the published tables that the trials reproduce."""
    defaults: dict[str, Value] = {}
    """Values for all trials."""
    rows: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    """Explicit combinations, one trial each."""
    grid: Annotated[dict[str, Axis], Field(min_length=1)] | None = None
    """Lists of values; every combination is a trial."""
    parts: Annotated[list[Part], Field(min_length=1)] | None = None
    """Several pieces, each with its own `defaults`, `rows` and `grid`."""
    derive: Annotated[dict[str, str], Field(max_length=MAX_KEYS)] = {}
    """Field and expression over other keys, for example `lr: base_lr * batch_size / 128`."""
    repeats: Repeats = 1
    """Number of seeds for each configuration: seed, seed + 1, ...; or a mapping, which lets the errors decide it."""
    scales: Annotated[dict[Name, Scale], Field(max_length=MAX_KEYS)] = {}
    """The same space at other sizes, for `--scale NAME`."""
    search: SearchSpec | None = None
    """How trials are proposed; replaces `rows`, `grid` and `parts`."""
    parameters: Annotated[dict[str, Parameter], Field(min_length=1, max_length=MAX_KEYS)] | None = None
    """The parameters of a search: training fields, or names that `derive` uses."""
    first: Annotated[list[dict[str, Scalar | dict[str, Value]]], Field(min_length=1)] | None = None
    """What a search proposes first: a mapping of parameters for each proposal. The sampler chooses what it lacks."""
    scheduler: SchedulerSpec | None = None
    """Which trials of a search are stopped early."""
    objective: Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=2), BeforeValidator(_as_list)] | None = (
        None
    )
    """What a search minimizes: one objective, or a list of two."""
    confirm: ConfirmSpec | None = None
    """Which configurations of a search are trained again at its end."""
    resources: ResourceSpec | None = None
    """The CPUs and GPUs of each trial."""
    keep_weights: KeepWeights = "best"
    """Which completed trials keep their weights in the store. best: the three with the lowest error on held-out
    images, or on test images if none are held out; of a search, its confirmations. It changes no trial."""

    @model_validator(mode="after")
    def _holds_something(self) -> "Space":
        if self.rows is None and self.grid is None and self.parts is None and self.search is None:
            raise ValueError("the space needs rows or grid (or parts, or search): without them it has no trials")
        return self


SEARCH_SECTIONS: dict[str, type[BaseModel]] = {
    "search": SearchSpec,
    "scheduler": SchedulerSpec,
    "objective": ObjectiveSpec,
    "confirm": ConfirmSpec,
}
"""Sections of a search and their models; `parameters` has a Parameter for each of its keys."""
SECTIONS: dict[str, type[BaseModel]] = {**SEARCH_SECTIONS, "repeats": RepeatsSpec, "resources": ResourceSpec}


def axis_values(axis: list[Value] | Values) -> list[Value]:
    """The values of one axis of a grid, in either form."""
    if isinstance(axis, Values):
        return [axis.value] if axis.values is None else axis.values
    return axis
