"""How each number was made: what all trials share, and a row for every trial with what is its own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from models.names import display_name
from results.parquet.trials import Cell, Trial
from results.tables.layout import Column, format_seconds
from trainable.config import FIELD_NAMES
from trainable.records import Purpose
from trainable.wording import counted, format_value

Facts = list[tuple[str, str]]
"""(name, value), in the order in which they are read."""


@dataclass(frozen=True, slots=True)
class Group:
    """A configuration with its repeats."""

    anchor: str
    """Unique in the report: what the configuration's results lead to."""
    heading: str
    trial_anchors: list[str]
    """One a repeat, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class TrialList:
    """Every trial of a sweep, group by group."""

    shared: Facts
    """What is the same for all trials, and so is no column."""
    columns: list[Column]
    groups: list[Group]

    @property
    def rows(self) -> list[list[str]]:
        """The columns' values, row by row."""
        return [list(values) for values in zip(*(column.values for column in self.columns), strict=True)]


def trial_list(cells: Sequence[Cell]) -> TrialList:
    """Configurations in the given order, each with its repeats."""
    trials = [trial for cell in cells for trial in cell.trials]
    shared: Facts = []
    own: list[Column] = []
    for name, value_of in ORIGINS.items():
        values = [value_of(trial) for trial in trials]
        if len(set(values)) == 1 and name != "seed":
            shared.append((name, values[0]))
        elif values:
            own.append(Column(name, "left", values))
    return TrialList(shared, [*_outcome(trials), *own], [_group(index, cell) for index, cell in enumerate(cells, 1)])


def trial_anchor(trial: Trial) -> str:
    return f"trial-{trial.row.trial_key}"


def config_words(cell: Cell) -> str:
    """A configuration in the words of the published tables."""
    config = cell.config
    return (
        f"{display_name(config.model)}, batch size {config.batch_size}, lr {config.lr:.6g}, {config.schedule}, "
        f"{counted(config.epochs, 'epoch')}"
    )


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def moment(time: datetime | None) -> str:
    """UTC to the second."""
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def named_values(text: str) -> str:
    """`b 2, a 1`, from a JSON object, in its order."""
    return ", ".join(f"{name} {plain(value)}" for name, value in json.loads(text).items()) or "-"


def plain(value: object) -> str:
    """Return the value of a training field as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value == "" else format_value(value, none="-")


def _field(name: str) -> Callable[[Trial], str]:
    return lambda trial: plain(getattr(trial.config, name))


ORIGINS: dict[str, Callable[[Trial], str]] = {
    **{name: _field(name) for name in FIELD_NAMES},
    "variables": lambda trial: named_values(trial.row.variables),
    "precision used": lambda trial: trial.row.precision_resolved,
    "device": lambda trial: trial.row.device,
    "host": lambda trial: trial.row.host,
    "threads": lambda trial: str(trial.row.num_threads),
    "GPUs": lambda trial: plain(trial.row.gpus),
    "versions": lambda trial: named_values(trial.row.versions),
    "code (commit/source)": lambda trial: trial.row.code,
    "attempts differ in": lambda trial: ", ".join(json.loads(trial.row.attempts_differ or "{}")) or "-",
    "damaged files": lambda trial: trial.row.damage or "-",
}
"""Name -> what a trial says of where its numbers come from."""


def _outcome(trials: Sequence[Trial]) -> list[Column]:
    rows = [trial.row for trial in trials]
    proposed = [] if all(row.proposal is None for row in rows) else [_proposals(trials)]
    return [
        Column("trial", "left", [row.trial_key for row in rows]),
        *proposed,
        Column("status", "left", [row.status.lower() for row in rows]),
        _numbers("test error %", [percent(_final(trial, trial.row.test_error_percent)) for trial in trials]),
        _numbers(
            "median of last 5", [percent(_final(trial, trial.row.test_error_percent_last5)) for trial in trials]
        ),
        _numbers("epochs done", [str(row.epochs_done) for row in rows]),
        _numbers("training", [format_seconds(row.train_seconds) for row in rows]),
        _numbers("evaluation", [format_seconds(row.eval_seconds) for row in rows]),
        _numbers("images/s", ["-" if (n := row.images_per_second) is None else f"{n:.0f}" for row in rows]),
        _numbers("attempts", [str(row.attempts) for row in rows]),
        Column("start (UTC)", "left", [moment(row.start_time) for row in rows]),
        Column("end (UTC)", "left", [moment(row.end_time) for row in rows]),
    ]


def _proposals(trials: Sequence[Trial]) -> Column:
    """Of a search: which proposal a trial is, or confirms."""
    texts = {Purpose.SEARCH: "{}", Purpose.CONFIRM: "{}, confirmed"}
    return Column(
        "proposal",
        "left",
        [texts.get(Purpose(row.purpose), "-").format(row.proposal) for row in (t.row for t in trials)],
    )


def _final(trial: Trial, error: float | None) -> float | None:
    """Of a trial that failed or was interrupted the last error is no result."""
    return error if trial.status.is_final else None


def _numbers(header: str, values: list[str]) -> Column:
    return Column(header, "right", values, stop=len(header))


def _group(number: int, cell: Cell) -> Group:
    return Group(f"runs-{number}", config_words(cell), [trial_anchor(trial) for trial in cell.trials])
