"""A search as Ray Tune sees it: a searcher that asks it for trials, and a scheduler that asks which to stop."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from sweep.driver.cluster import POLL_SECONDS
from sweep.observers.observer import Observer
from sweep.search.search import Search
from trainable.config import PlannedTrial
from trainable.execution import Share
from trainable.records import Progress, Status
from trainable.tune_adapter import ANCESTORS, CONFIG, SHARE, TRIAL_KEY, from_report


class NotPickled:
    """Pickles without content, since Tune pickles the Tuner for a restore that is never used."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class SearchSteps(NotPickled):
    """The search, as the two plug-ins below use it.

    Tune takes an exception in a plug-in for the failure of a trial. So an exception that concerns the search is kept
    here, and `raise_error` raises it at the end of a step of Tune's loop.
    """

    def __init__(
        self,
        search: Search,
        share: Callable[[PlannedTrial], Share],
        observers: Sequence[Observer],
    ) -> None:
        self.search = search
        self._share = share
        self._observers = observers
        self._error: Exception | None = None
        self.stopped: set[str] = set()
        """Keys of the trials that were stopped early in this run."""
        self.paused: set[str] = set()
        """Keys of the trials that are paused, and have neither been promoted nor ended."""
        for trial in search.paused():
            self.paused.add(trial.config.trial_key)
            for observer in observers:
                observer.on_trial_added(trial)
                observer.on_trial_paused(trial.config.trial_key)

    def propose(self) -> dict[str, Any] | None:
        """Return Tune's configuration of the next trial, or None if there is none at the moment."""
        if self._error is not None:
            return None
        with self._errors_kept():
            proposal = self.search.next()
            self._tell_of_ended()
            if proposal is not None:
                config = proposal.trial.config
                self.paused.discard(config.trial_key)
                for observer in self._observers:
                    observer.on_trial_added(proposal.trial)
                ancestors = [ancestor.to_dict() for ancestor in proposal.ancestors]
                share = dataclasses.asdict(self._share(proposal.trial))
                return {TRIAL_KEY: config.trial_key, CONFIG: config.to_dict(), ANCESTORS: ancestors, SHARE: share}
        return None

    def _tell_of_ended(self) -> None:
        """Tell the observers of paused trials that have ended with the search."""
        ended = [] if not self.search.is_over else sorted(self.paused)
        for trial_key in ended:
            if not self.search.is_paused(trial_key):
                self.paused.remove(trial_key)
                for observer in self._observers:
                    observer.on_progress(trial_key, Progress(None, Status.STOPPED, replayed=False))

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be proposed."""
        return self._error is not None or self.search.is_over

    def report(self, trial_key: str, progress: Progress) -> bool:
        """Tell the search how a trial has got on; return whether the trial is to be stopped."""
        if self._error is not None:
            return True
        with self._errors_kept():
            stop = progress.record is not None and self.search.report(trial_key, progress.record)
            if progress.is_on_record:
                self.search.end(trial_key, progress.status)
            elif progress.ended:
                self.search.abandon(trial_key)
            if stop:
                (self.paused if self.search.is_paused(trial_key) else self.stopped).add(trial_key)
            return stop
        return True

    def fail(self, trial_key: str, *, is_recorded: bool) -> None:
        """Tell the search that a trial has failed.

        It learns from a failure that the ledger holds. In either case it does not try the trial again in this run.
        """
        if self._error is None:
            with self._errors_kept():
                if is_recorded:
                    self.search.end(trial_key, Status.FAILED)
                else:
                    self.search.abandon(trial_key)

    def raise_error(self) -> None:
        """Raise the exception that was kept, if there is one."""
        if self._error is not None:
            raise self._error

    @contextlib.contextmanager
    def _errors_kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._error = self._error or error


class ProposingSearcher(NotPickled, Searcher):  # type: ignore[misc] # Ray's class is untyped here
    """Asks the search for the next trial, but not before the trial can start.

    A trial that is proposed earlier knows less than it could. Nodes that join are counted. The scheduler tells the
    search what becomes of its trials, since it hears of it first.
    """

    def __init__(self, steps: SearchSteps, max_under_way: Callable[[], int]) -> None:
        super().__init__()
        self._steps = steps
        self._find_max = max_under_way
        self._max, self._found_at = 0, -math.inf
        self._under_way: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial, or None while others have to end first: Tune asks again."""
        now = time.monotonic()
        if now - self._found_at > POLL_SECONDS:
            self._max, self._found_at = self._find_max(), now
        if len(self._under_way) >= self._max and not self._steps.is_over:
            return None
        proposed = self._steps.propose()
        if proposed is not None:
            self._under_way.add(trial_id)
        return Searcher.FINISHED if proposed is None and self._steps.is_over else proposed

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._under_way.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: Tune's own restore is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: Tune's own restore is not used."""


class StoppingScheduler(FIFOScheduler):  # type: ignore[misc] # Ray's class is untyped here
    """Starts trials in the order of their proposal, and stops those that the search prunes."""

    def __init__(self, steps: SearchSteps) -> None:
        super().__init__()
        self._steps = steps

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        trial_key = trial.config[TRIAL_KEY]
        stop = self._steps.report(trial_key, from_report(result))
        if trial_key in self._steps.paused:
            # Tune may keep the process for another trial, while a second one already trains this one on.
            trial.temporary_state.ray_actor.cleanup.remote()
        return str(self.STOP if stop else self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:  # noqa: ANN401
        """Report the last epoch: Tune passes it on only here."""
        progress = from_report(result)
        if progress.ended:
            self._steps.report(trial.config[TRIAL_KEY], progress)
