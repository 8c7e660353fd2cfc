"""The recorded curves of a sweep: what each trial reached epoch by epoch, as far as a scheduler can see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.parquet.trials import Trial
from trainable.errors import UserError
from trainable.records import EpochRecord, Purpose, Status
from trainable.wording import counted

HELD_OUT, TEST = "holdout_error_percent", "test_error_percent"


@dataclass(frozen=True, slots=True)
class TrialCurve:
    """A trial from its first epoch to its own end, COMPLETE or DIVERGED."""

    values: tuple[float | None, ...]
    """Objective after epoch 1, 2, ...; smaller is better, None where it is not finite."""
    seconds: tuple[float, ...]
    """Seconds of training and evaluation in each epoch."""
    epochs: int
    """Number of epochs that were planned; a trial that diverged has fewer values."""
    status: Status

    @property
    def end(self) -> float | None:
        """The last value; None where the trial diverged."""
        return self.values[-1] if self.status is Status.COMPLETE else None


@dataclass(frozen=True, slots=True)
class RecordedCurves:
    """The trials of a sweep that were trained to their end."""

    metric: str
    """Column of `epochs` that the curves hold: the held-out error, or the test error where nothing was held out."""
    curves: list[TrialCurve]
    """Curves in the order of the sweep."""
    num_left_out: int
    """Number of trials that failed, were stopped, or are running: the rest of their curves is unknown."""

    @property
    def objective(self) -> str:
        """The objective in words."""
        left_out = f"; {counted(self.num_left_out, 'unfinished trial')} left out" if self.num_left_out else ""
        if self.metric == HELD_OUT:
            return f"holdout error{left_out}"
        return f"TEST error, since nothing was held out: what a search would see is not known{left_out}"


def recorded_curves(
    sweep: str, trials: Sequence[Trial], epochs: Mapping[str, Sequence[EpochRecord]]
) -> RecordedCurves:
    """Return the curves of a sweep. Trials that confirm a search are left out: no scheduler sees them.

    Args:
        epochs: trial key -> its epochs.

    Raises:
        UserError: fewer than two trials were trained to their end, none trained for more than one epoch, they differ
            in their number of epochs, or trials continue one another.
    """
    if any(trial.config.parent is not None for trial in trials):
        raise UserError(
            f"{sweep}: nothing to replay: population based training has no independent curves, each of its trials "
            "continues one of the generation before"
        )
    proposed = [trial for trial in trials if trial.row.purpose != Purpose.CONFIRM]
    used = [trial for trial in proposed if _has_own_end(trial, epochs.get(trial.row.trial_key, ()))]
    num_complete = sum(trial.status is Status.COMPLETE for trial in used)
    if num_complete < 2:
        raise UserError(
            f"{sweep}: nothing to replay: {num_complete} of {len(proposed)} trials trained to their end, 2 are needed"
        )
    if max(trial.config.epochs for trial in used) < 2:
        raise UserError(f"{sweep}: nothing to replay: no trial has more than one epoch, none could end earlier")
    lengths = sorted({trial.config.epochs for trial in used})
    if len(lengths) > 1:
        raise UserError(
            f"{sweep}: nothing to replay: a scheduler compares trials after equal epochs, and these train "
            f"{lengths[0]} to {lengths[-1]}, so at different points of their schedules: name a sweep of one length"
        )
    metric = HELD_OUT if all(trial.config.holdout for trial in used) else TEST
    curves = [_curve(trial, epochs[trial.row.trial_key], metric) for trial in used]
    return RecordedCurves(metric, curves, len(proposed) - len(used))


def _has_own_end(trial: Trial, epochs: Sequence[EpochRecord]) -> bool:
    return bool(epochs) and trial.status in (Status.COMPLETE, Status.DIVERGED)


def _curve(trial: Trial, epochs: Sequence[EpochRecord], metric: str) -> TrialCurve:
    values = tuple(getattr(record, metric) for record in epochs)
    seconds = tuple(record.train_seconds + record.eval_seconds for record in epochs)
    return TrialCurve(values, seconds, trial.config.epochs, trial.status)
