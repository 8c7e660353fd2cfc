"""The recorded curves of a sweep, for whoever asks what a scheduler would have done with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.parquet.trials import Trial
from sweep.search.curves import Curve
from trainable.errors import UserError
from trainable.records import EpochRecord, Purpose, Status
from trainable.wording import counted

HELD_OUT, TEST = "holdout_error_percent", "test_error_percent"


@dataclass(frozen=True, slots=True)
class SweepCurves:
    """The trials of a sweep that were trained to their end."""

    metric: str
    """Column of `epochs` that the curves hold: the held-out error, or the test error where nothing was held out."""
    curves: list[Curve]
    """In the sweep's order."""
    num_left_out: int
    """Trials that failed, were stopped, or are under way: how they would have gone on is not known."""

    @property
    def objective(self) -> str:
        """For people."""
        left_out = f"; {counted(self.num_left_out, 'trial')} without an end left out" if self.num_left_out else ""
        if self.metric == HELD_OUT:
            return f"held-out error{left_out}"
        return f"TEST error, since nothing was held out: what a search would see is not known{left_out}"


def sweep_curves(sweep: str, trials: Sequence[Trial], epochs: Mapping[str, Sequence[EpochRecord]]) -> SweepCurves:
    """Without those that confirm a search: no scheduler sees them.

    Args:
        epochs: trial key -> its epochs.

    Raises:
        UserError: not two trials were trained to their end, or none for more than an epoch; or they go on from
            one another.
    """
    if any(trial.config.parent is not None for trial in trials):
        raise UserError(
            f"{sweep}: nothing to replay: population based training has no independent curves, its trials are "
            "generations that go on from one another"
        )
    proposed = [trial for trial in trials if trial.row.purpose != Purpose.CONFIRM]
    used = [trial for trial in proposed if _is_whole(trial, epochs.get(trial.row.trial_key, ()))]
    num_complete = sum(trial.status is Status.COMPLETE for trial in used)
    if num_complete < 2:
        raise UserError(
            f"{sweep}: nothing to replay: {num_complete} of {len(proposed)} trials trained to their end, 2 are needed"
        )
    if max(trial.config.epochs for trial in used) < 2:
        raise UserError(f"{sweep}: nothing to replay: no trial has more than one epoch, none could end earlier")
    metric = HELD_OUT if all(trial.config.holdout for trial in used) else TEST
    curves = [_curve(trial, epochs[trial.row.trial_key], metric) for trial in used]
    return SweepCurves(metric, curves, len(proposed) - len(used))


def _is_whole(trial: Trial, epochs: Sequence[EpochRecord]) -> bool:
    return bool(epochs) and trial.status in (Status.COMPLETE, Status.DIVERGED)


def _curve(trial: Trial, epochs: Sequence[EpochRecord], metric: str) -> Curve:
    values = tuple(getattr(record, metric) for record in epochs)
    seconds = tuple(record.train_seconds + record.eval_seconds for record in epochs)
    return Curve(values, seconds, trial.config.epochs, trial.status)
