"""What the user sees while a sweep runs: a live table in a terminal, otherwise a line for each trial that ends."""

import os
import sys
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live

from results.tables.layout import format_seconds
from sweep.observers.live_table import sweep_table
from sweep.observers.progress import RUNNING, SweepOutline, SweepProgress, TrialProgress
from trainable.config import TrainConfig
from trainable.records import Progress, Status
from trainable.wording import counted, printable_line

REFRESH_PER_SECOND = 4


class PatientConsole(Console):
    """Keeps the run alive when nobody reads its output any more (`| head`)."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console() -> Console:
    return PatientConsole(soft_wrap=True)


class SweepView(SweepProgress):
    """Shows the progress of a run to the user. Use as a context manager."""

    def __init__(
        self,
        console: Console,
        outline: SweepOutline,
        configs: Mapping[str, TrainConfig],
        variables: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> None:
        super().__init__(outline, configs, variables)
        self._console = console
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

    def renderable(self) -> Group:
        """Return the live table as of now."""
        return sweep_table(self, width=self._console.width, height=self._console.height)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        trial = self.trials[trial_key]
        died_at = trial.died_at
        super().on_progress(trial_key, progress)
        resumes = died_at is not None and trial.died_at is None and progress.status is not Status.FAILED
        if resumes and not self._console.is_terminal:
            self._say(f"{trial.label}: its process died at epoch {died_at}, resuming from the last checkpoint")
        if progress.note is not None:
            self._say(f"{trial.label}: {progress.note}")
        if progress.ended and not self._console.is_terminal:
            self._say(self._ended_line(trial, progress.error))

    def on_trial_paused(self, trial_key: str) -> None:
        trial = self.trials[trial_key]
        was_running = trial.status == RUNNING
        super().on_trial_paused(trial_key)
        if was_running and not self._console.is_terminal:
            self._say(
                f"{trial.label}: paused after {counted(trial.epochs_done, 'epoch')}, {self._error_words(trial)}"
            )

    def on_trial_note(self, trial_key: str, note: str, *, is_stalled: bool) -> None:
        super().on_trial_note(trial_key, note, is_stalled=is_stalled)
        self._say(f"{self.trials[trial_key].label}: {note}")

    def on_stop(self, num_running: int) -> None:
        checkpoints = "its checkpoint" if num_running == 1 else "their checkpoints"
        waiting = f": waiting for {counted(num_running, 'trial')} to write {checkpoints}" if num_running else ""
        self._say(f"stopping{waiting}")

    def _say(self, line: str) -> None:
        self._console.print(printable_line(line), soft_wrap=True, highlight=False, markup=False)

    def _ended_line(self, trial: TrialProgress, error: str | None) -> str:
        outcome = trial.status if error is None else f"{trial.status}: {error}"
        if trial.status in (Status.COMPLETE, Status.STOPPED) and trial.error_percent is not None:
            outcome = f"{'stopped at ' * (trial.status == Status.STOPPED)}{self._error_words(trial)}"
        if not trial.epochs_done and trial.status == Status.STOPPED:
            return f"[{self.num_done}/{self.num_trials}] {trial.label}: stopped early"  # paused by an earlier run
        work = f"{counted(trial.epochs_done, 'epoch')} in {format_seconds(trial.seconds)}"
        speed = f", {rate:,.0f} images/s" if (rate := trial.images_per_second) else ""
        rest = f", about {format_seconds(left)} left" if (left := self.seconds_left()) else ""
        number = f"[{self.num_done}/{self.num_trials}]"
        return f"{number} {trial.label}: {outcome}, {work}{speed}{rest}"

    def _error_words(self, trial: TrialProgress) -> str:
        error = "unknown" if trial.error_percent is None else f"{trial.error_percent:.2f} %"
        loss = f", loss {trial.loss:.4g}" if self.shows_loss and trial.loss is not None else ""
        return f"{'holdout' if trial.config.holdout else 'test'} error {error}{loss}"
