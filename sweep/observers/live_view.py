"""What the user sees while a sweep runs: a live table in a terminal, else one line a finished trial."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from results.parquet.trials import varying_fields
from results.tables.layout import format_seconds
from sweep.observers.observer import Observer
from sweep.trial_label import describe
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import EpochRecord, Progress, Status
from trainable.wording import counted

RUNNING = "running"
MAX_ENDED_ROWS = 12
REFRESH_PER_SECOND = 4
HOLDOUT_LOSS = "holdout_loss"
LOSS_HEADER = "holdout loss"
MIN_WIDTHS = {"epoch": 9, "test error": 10, "holdout error": 13, LOSS_HEADER: 12, "images/s": 8, "time": 6, "": 10}
"""Of the columns with figures, in characters: in a narrow terminal the trial's name is cut, not these."""
SPEED_WINDOW = 5
"""Epochs whose median speed is shown."""


@dataclass(slots=True)
class TrialProgress:
    """What is known of a trial that this run works on."""

    label: str
    config: TrainConfig
    epochs_done: int = 0
    replayed: int = 0
    error_percent: float | None = None
    """On the held-out images where there are any, else on the test images."""
    loss: float | None = None
    """On the held-out images, in nats."""
    speeds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    died_at: int | None = None
    """Epochs done when it was started anew, until it is known why."""
    status: str = ""
    """Empty while it waits; 'running', or a Status once it has ended."""


class SweepView(Observer):
    """Shows a run to the user. Use as a context manager."""

    def __init__(
        self,
        console: Console,
        name: str,
        configs: Mapping[str, TrainConfig],
        num_before: int,
        num_proposed: int = 0,
        fields: Sequence[str] = (),
        metrics: Sequence[str] = (),
        variables: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> None:
        """
        Args:
            configs: the trials that this run works on.
            num_before: trials of the sweep that were done already.
            num_proposed: trials that a search will add, at most.
            fields: of a trial's configuration or variables, that tell these trials apart.
            metrics: what a search makes small.
            variables: trial key -> variables of a trial in `configs`.
        """
        self._console = console
        self._name = name
        self._num_before = num_before
        self._num_proposed = num_proposed
        self._shows_loss = HOLDOUT_LOSS in metrics
        varying = [] if fields else varying_fields(list(configs.values()))
        varying += _seed_field(list(configs.values()))
        self._fields = [name for name in (*fields, *varying) if name != "dataset_fingerprint"]
        self.trials = {
            key: TrialProgress(describe(config, self._fields, (variables or {}).get(key)), config)
            for key, config in configs.items()
        }
        self._training_since = 0.0
        self._live = Live(
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
            get_renderable=self.renderable,
            transient=False,
        )

    def __enter__(self) -> "SweepView":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def on_trial_added(self, trial: PlannedTrial) -> None:
        config = trial.config
        self.trials[config.trial_key] = TrialProgress(describe(config, self._fields, trial.variables), config)

    def on_trial_start(self, trial_key: str) -> None:
        self._training_since = self._training_since or time.monotonic()
        trial = self.trials[trial_key]
        died_at = trial.epochs_done if trial.status == RUNNING else None
        self.trials[trial_key] = TrialProgress(trial.label, trial.config, died_at=died_at, status=RUNNING)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        trial = self.trials[trial_key]
        if not progress.replayed:  # what the ledger holds does not tell whether the trial goes on
            died_at, trial.died_at = trial.died_at, None
            if died_at is not None and progress.status is not Status.FAILED and not self._console.is_terminal:
                self._say(f"{trial.label}: its process died at epoch {died_at}, going on from the last checkpoint")
        if progress.record is not None:
            _count(trial, progress.record, replayed=progress.replayed)
        if progress.note is not None:
            self._say(f"{trial.label}: {progress.note}")
        if progress.ended:
            trial.status = progress.status
            if not self._console.is_terminal:
                self._say(self._ended_line(trial, progress.error))

    def on_stop(self, num_running: int) -> None:
        checkpoints = "its checkpoint" if num_running == 1 else "their checkpoints"
        waiting = f": waiting for {counted(num_running, 'trial')} to write {checkpoints}" if num_running else ""
        self._say(f"stopping{waiting}")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    @property
    def num_trials(self) -> int:
        """Of the sweep, those done before and those still to be proposed among them."""
        return self._num_before + max(len(self.trials), self._num_proposed)

    @property
    def num_ended(self) -> int:
        return sum(_has_ended(trial) for trial in self.trials.values())

    def seconds_left(self) -> float | None:
        """From the images trained so far in this run; None before the first epoch, and while some are to come."""
        if self._num_proposed > len(self.trials):
            return None
        done = total = 0
        for trial in self.trials.values():
            epochs = trial.epochs_done if _has_ended(trial) else trial.config.epochs
            done += trial.epochs_done - trial.replayed
            total += epochs - trial.replayed
        elapsed = time.monotonic() - self._training_since
        return elapsed * (total - done) / done if done else None

    def renderable(self) -> Group:
        """The live table: running trials, and the last that ended."""
        error = "holdout error" if any(trial.config.holdout for trial in self.trials.values()) else "test error"
        widest = max((len(trial.label) for trial in self.trials.values()), default=0)
        width = min(self._console.width, widest + sum(MIN_WIDTHS.values()) + 2 * len(MIN_WIDTHS))
        table = Table(box=None, pad_edge=False, header_style="bold", width=width)
        loss = [LOSS_HEADER] * self._shows_loss
        for header in ("trial", "epoch", error, *loss, "images/s", "time", ""):
            is_label = header == "trial"
            table.add_column(
                header,
                justify="left" if is_label or not header else "right",
                no_wrap=True,
                overflow="ellipsis",
                ratio=1 if is_label else None,
                min_width=None if is_label else MIN_WIDTHS[header],
            )
        ended = [trial for trial in self.trials.values() if _has_ended(trial)]
        hidden = max(0, len(ended) - MAX_ENDED_ROWS)
        for trial in [*ended[hidden:], *(t for t in self.trials.values() if t.status == RUNNING)]:
            table.add_row(*_cells(trial, shows_loss=self._shows_loss), style=_style(trial))
        waiting = sum(not trial.status for trial in self.trials.values())
        return Group(self._summary(waiting), table)

    def _summary(self, waiting: int) -> Text:
        left = self.seconds_left()
        speeds = [trial.speeds[-1] for trial in self.trials.values() if trial.status == RUNNING and trial.speeds]
        parts = [
            f"{self._num_before + self.num_ended} of {self.num_trials} trials done",
            f"{waiting} waiting",
            f"{to_come} to propose" if (to_come := self._num_proposed - len(self.trials)) > 0 else "",
            f"{sum(speeds):,.0f} images/s" if speeds else "" if left is not None else "starting",
            f"about {format_seconds(left)} left" if left else "",
        ]
        return Text.assemble((self._name, "bold"), "  ", "  ".join(part for part in parts if part))

    def _ended_line(self, trial: TrialProgress, error: str | None) -> str:
        place = f"[{self._num_before + self.num_ended}/{self.num_trials}]"
        outcome = trial.status if error is None else f"{trial.status}: {error}"
        if trial.status in (Status.COMPLETE, Status.STOPPED) and trial.error_percent is not None:
            images = "holdout" if trial.config.holdout else "test"
            stopped = "stopped at " if trial.status == Status.STOPPED else ""
            outcome = f"{stopped}{images} error {trial.error_percent:.2f} %"
            if self._shows_loss and trial.loss is not None:
                outcome += f", loss {trial.loss:.4f}"
        work = f"{counted(trial.epochs_done, 'epoch')} in {format_seconds(trial.seconds)}"
        speed = f", {statistics.median(trial.speeds):,.0f} images/s" if trial.speeds else ""
        left = self.seconds_left()
        rest = f", about {format_seconds(left)} left" if left else ""
        return f"{place} {trial.label}: {outcome}, {work}{speed}{rest}"


def _count(trial: TrialProgress, record: EpochRecord, *, replayed: bool) -> None:
    trial.epochs_done = record.epoch
    trial.error_percent = record.holdout_error_percent if trial.config.holdout else record.test_error_percent
    trial.loss = record.holdout_loss
    trial.seconds += record.train_seconds + record.eval_seconds
    if replayed:
        trial.replayed = record.epoch
    else:
        trial.speeds = [*trial.speeds[1 - SPEED_WINDOW :], record.images_per_second]


def _seed_field(configs: list[TrainConfig]) -> list[str]:
    return ["seed"] if len({config.seed for config in configs}) > 1 else []


def _has_ended(trial: TrialProgress) -> bool:
    return trial.status not in ("", RUNNING)


def _cells(trial: TrialProgress, *, shows_loss: bool) -> tuple[str, ...]:
    loss = ["-" if trial.loss is None else f"{trial.loss:.4f}"] * shows_loss
    return (
        trial.label,
        f"{trial.epochs_done}/{trial.config.epochs}",
        "-" if trial.error_percent is None else f"{trial.error_percent:.2f} %",
        *loss,
        f"{statistics.median(trial.speeds):,.0f}" if trial.speeds else "-",
        format_seconds(trial.seconds),
        "" if trial.status == RUNNING else trial.status.lower(),
    )


def _style(trial: TrialProgress) -> str:
    if trial.status == RUNNING:
        return "bold"
    return "dim" if trial.status in (Status.COMPLETE, Status.STOPPED) else "red"
