"""The live table: a row for each trial that runs or has ended, in as many columns as the terminal has room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from results.tables.layout import format_seconds
from sweep.observers.progress import RUNNING, SweepProgress, TrialProgress
from trainable.records import Status
from trainable.wording import counted, printable_line

MAX_ENDED_ROWS = 12
MIN_LABEL_WIDTH = 12
LABEL, LOSS, RATE, TIME, STATUS = "trial", "holdout loss", "images/s", "time", "status"
DROPPED_FIRST = (RATE, TIME, STATUS, LOSS)
"""Columns that are left out when space ends, in this order."""
GAP, NARROW_GAP = 2, 1
FAILURES = {Status.FAILED: "fail", Status.DIVERGED: "div"}
"""Statuses that stand in place of the error if there is no room for a column of their own."""


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    width: int
    cell: Callable[[TrialProgress], str]
    justify: Literal["left", "right"] = "right"


def sweep_table(progress: SweepProgress, *, width: int, height: int) -> Group:
    """Render a summary of the sweep, and the table.

    The values that tell the trials apart are never cut: rates and times are left out first, and in a very narrow
    terminal the values wrap.
    """
    longest = max([len(LABEL), *(len(trial.short_label) for trial in progress.trials.values())])
    columns, gap = _fitting(progress, longest, width)
    label_width = min(longest, max(MIN_LABEL_WIDTH, width - _width(columns, gap)))
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column(LABEL, width=label_width, overflow="fold")
    for column in columns:
        table.add_column(column.header, width=column.width, justify=column.justify, no_wrap=True)
    for trial in _shown(progress, height - 3, label_width):  # the summary, the header, and the line with the cursor
        label = Text(printable_line(trial.short_label))
        table.add_row(label, *(column.cell(trial) for column in columns), style=_style(trial))
    return Group(_summary(progress, width), table)


def _shown(progress: SweepProgress, num_lines: int, label_width: int) -> list[TrialProgress]:
    """Return the trials that ended last, as far as there is room for them beside all that run, and these."""
    running, ended = progress.running, progress.ended[-MAX_ENDED_ROWS:]
    free = num_lines - sum(len(wrap(trial.short_label, label_width)) for trial in running)
    while ended and (free < sum(len(wrap(trial.short_label, label_width)) for trial in ended)):
        ended = ended[1:]
    return [*ended, *running]


def _fitting(progress: SweepProgress, label_width: int, width: int) -> tuple[list[_Column], int]:
    """Return the columns that fit beside the label, and the gap between two columns."""
    for num_dropped in range(len(DROPPED_FIRST) + 1):
        columns = _columns(progress, DROPPED_FIRST[:num_dropped])
        if label_width + _width(columns, GAP) <= width:
            return columns, GAP
    epoch, _ = columns
    return [epoch, _Column("err %", 5, lambda trial: _error(trial, "", FAILURES))], NARROW_GAP


def _width(columns: Sequence[_Column], gap: int) -> int:
    return sum(gap + column.width for column in columns)


def _columns(progress: SweepProgress, dropped: Sequence[str]) -> list[_Column]:
    trials = progress.trials.values()
    digits = max((len(str(trial.config.epochs)) for trial in trials), default=1)
    error = "holdout error" if any(trial.config.holdout for trial in trials) else "test error"
    failures = {status: status.lower() for status in FAILURES} if STATUS in dropped else {}
    columns = {
        "epoch": _Column("epoch", max(5, 2 * digits + 1), lambda trial: f"{trial.epochs_done}/{trial.config.epochs}"),
        error: _Column(error, len(error), lambda trial: _error(trial, " %", failures)),
        LOSS: _Column(LOSS, len(LOSS), lambda trial: "-" if trial.loss is None else f"{trial.loss:.4f}"),
        RATE: _Column(RATE, len(RATE), lambda trial: f"{rate:,.0f}" if (rate := trial.images_per_second) else "-"),
        TIME: _Column(TIME, 6, lambda trial: format_seconds(trial.seconds)),
        STATUS: _Column("", 8, _status, "left"),
    }
    left_out = {*dropped, *([] if progress.shows_loss else [LOSS])}
    return [column for name, column in columns.items() if name not in left_out]


def _error(trial: TrialProgress, unit: str, failures: dict[Status, str]) -> str:
    for status, text in failures.items():
        if trial.status == status:
            return text
    return "-" if trial.error_percent is None else f"{trial.error_percent:.2f}{unit}"


def _status(trial: TrialProgress) -> str:
    if trial.status == RUNNING:
        return "stalled" if trial.is_stalled else ""
    return trial.status.lower()


def _style(trial: TrialProgress) -> str:
    if trial.status == RUNNING:
        return "bold red" if trial.is_stalled else "bold"
    return "dim" if trial.status in (Status.COMPLETE, Status.STOPPED) else "red"


def _summary(progress: SweepProgress, width: int) -> Text:
    """Write one line on the sweep; what matters least is left out if the line is too long."""
    name, done = progress.outline.name, f"{progress.num_done} of {counted(progress.num_trials, 'trial')} done"
    left, rate = progress.seconds_left(), progress.images_per_second
    time_left = f"{format_seconds(left)} left" if left else ""
    paused = f"  {progress.num_paused} paused" if progress.num_paused else ""
    waiting = f"{progress.num_waiting} waiting{paused}"
    to_propose = f"{progress.num_to_propose} to propose" if progress.num_to_propose else ""
    speed = f"{rate:,.0f} images/s" if rate else "" if left is not None else "starting"
    about = f"about {time_left}" if left else ""
    versions = (
        (name, done, waiting, to_propose, speed, about),
        (name, done, waiting, to_propose, about),
        (name, done, about),
        (name, f"{progress.num_done} of {progress.num_trials} done", time_left),
    )
    lines = ["  ".join(filter(None, version)) for version in versions]
    line = next((line for line in lines if len(line) <= width), lines[-1])
    text = Text(line, no_wrap=True, overflow="ellipsis")
    text.stylize("bold", 0, len(name))
    return text
