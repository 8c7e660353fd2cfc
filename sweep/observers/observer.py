"""The base class of whatever follows a run."""

from trainable.config import PlannedTrial
from trainable.records import Progress


class Observer:
    """Follows a run; override what you need. Called in the driver's process, between two events of Ray Tune."""

    def on_trial_added(self, trial: PlannedTrial) -> None:
        """A search has proposed a trial."""

    def on_trial_start(self, trial_key: str) -> None:
        """A process has begun to work on a trial, for the first time or again after the last one died."""

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        """An epoch was replayed or trained, or the trial has ended, or both."""

    def on_trial_paused(self, trial_key: str) -> None:
        """A search has paused a trial. It starts again if it is promoted, and else ends with the search."""

    def on_trial_note(self, trial_key: str, note: str, *, is_stalled: bool) -> None:
        """A running trial has not moved for long, moves again, or its process was ended."""

    def on_stop(self, num_running: int) -> None:
        """The user has asked the run to stop; `num_running` trials have yet to write their checkpoints."""

    def on_tick(self) -> None:
        """Called at every step of Tune's loop, at least ten times a second."""
