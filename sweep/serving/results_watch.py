"""A sweep of which the store has only the Parquet files, as its open pages see it."""

from results.parquet.files import read_epochs, read_trials
from results.store.sweep_files import TRIALS_PARQUET
from sweep.serving.sweep_watch import Rows, SweepWatch
from sweep.status.listing import RESULTS_ONLY
from sweep.status.results_only import results_status
from sweep.status.status import SweepStatus
from trainable.errors import UserError


class ResultsWatch(SweepWatch):
    """Reads the Parquet files again whenever they have changed."""

    _content: bytes | None = None
    """The trials' file of which the status and the rows are."""

    def trial_keys(self) -> set[str]:
        """Return nothing: the trials, and what their processes wrote, are not here."""
        return set()

    def _state(self, status: SweepStatus) -> str:
        return RESULTS_ONLY

    def _look(self) -> SweepStatus:
        content = self._store.read(self._sweep, TRIALS_PARQUET)
        if self._status is None or content != self._content:
            self._kept = None
            self._content, self._status = content, results_status(self._store, self._sweep)
        return self._status

    def _read_rows(self) -> Rows | None:
        if self._kept is None:
            try:
                tables = read_trials(self._store, self._sweep), read_epochs(self._store, self._sweep)
            except (UserError, OSError):
                return None
            self._kept = Rows(tables, None)
        return self._kept
