"""Where a sweep stands, read from its trials' ledgers: also while it runs, also after a crash."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from results.store.search_log import SearchRecord, read_log
from results.store.search_progress import num_to_come, planned_trials, status_in_search
from results.store.store import Manifest, Store
from sweep.runs import last_run_text
from sweep.status.search_words import best_words, end_notes, front_words, lower_lr_words
from trainable.config import PlannedTrial
from trainable.ledger.reading import read_summary, trial_status
from trainable.records import Status, TrialSummary

MAX_SHOWN = 5
"""Members of a front."""


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Counts of trials; `left` is what a further `run` would begin, go on with, or try again."""

    sweep: str
    driver_running: bool
    planned: int
    done: int
    """COMPLETE, STOPPED or DIVERGED."""
    stopped: int
    """Of the done ones, by this sweep's scheduler."""
    diverged: int
    running: int
    failed: int
    left: int
    epochs_done: int
    epochs_planned: int
    errors: dict[str, str]
    """Trial key -> error of those that failed."""
    best: str | None
    """Of a search with one objective: what has steered best so far, and to which value."""
    front: list[str]
    """Of a search with two objectives: the trials that no other beats in both, by the first."""
    notes: list[str]
    """What else a person should be told of how it went."""

    @property
    def nothing_trained(self) -> bool:
        """Whether it is a search that is over and has found nothing that can be trained."""
        return not self.planned and bool(self.notes)


def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Count; nothing is written."""
    return StatusReader(store, manifest).read()


class StatusReader:
    """Counts again and again; trials that have ended for good are read once."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._ended: dict[str, TrialSummary] = {}

    def read(self) -> SweepStatus:
        store, name = self._store, self._manifest.name
        store.refresh(store.search_log(name))
        record = read_log(store.search_log(name))
        trials = planned_trials(self._manifest, record)
        store.refresh_trials([key for trial in trials if (key := trial.config.trial_key) not in self._ended])
        driver_running = store.is_running(name)
        standings: dict[str, TrialSummary] = {}
        for trial in trials:
            key = trial.config.trial_key
            standings[key] = self._ended.get(key) or read_summary(store.trial_folder(key))
            if trial_status(standings[key]).is_final:
                self._ended[key] = standings[key]
        return _count(store, self._manifest, record, trials, standings, driver_running=driver_running)


def _count(
    store: Store,
    manifest: Manifest,
    record: SearchRecord,
    trials: list[PlannedTrial],
    standings: Mapping[str, TrialSummary],
    *,
    driver_running: bool,
) -> SweepStatus:
    by_status = dict.fromkeys(Status, 0)
    epochs_done = epochs_planned = 0
    unfinished: dict[str, TrialSummary] = {}
    errors: dict[str, str] = {}
    for trial in trials:
        key = trial.config.trial_key
        standing = standings[key]
        status = status_in_search(record, trial, trial_status(standing))
        by_status[status] += 1
        if not status.is_final:
            unfinished[key] = standing
        epochs_done += standing.epochs_done
        epochs_planned += standing.epochs_done if status.is_final else trial.config.epochs
        if status is Status.FAILED and standing.end is not None:
            errors[key] = standing.end.error or ""
    done = sum(count for status, count in by_status.items() if status.is_final)
    planned = len(trials) + num_to_come(record)
    return SweepStatus(
        sweep=manifest.name,
        driver_running=driver_running,
        planned=planned,
        done=done,
        stopped=by_status[Status.STOPPED],
        diverged=by_status[Status.DIVERGED],
        running=len(store.at_work(manifest.name, unfinished)),
        failed=by_status[Status.FAILED],
        left=planned - done,
        epochs_done=epochs_done,
        epochs_planned=epochs_planned,
        errors=errors,
        best=best_words(record),
        front=front_words(record),
        notes=end_notes(record) + _divergence(record, trials, by_status, planned),
    )


def _divergence(
    record: SearchRecord, trials: list[PlannedTrial], by_status: dict[Status, int], planned: int
) -> list[str]:
    """What to do where nothing came to its end but by diverging."""
    diverged, failed = by_status[Status.DIVERGED], by_status[Status.FAILED]
    if not diverged or diverged + failed < planned:
        return []
    smallest = min(trial.config.lr for trial in trials)
    which = f"all {diverged} trials" if diverged > 1 else "the only trial"
    told = "every trial that did not fail diverged" if failed else f"{which} diverged"
    return [f"{told}, the smallest lr was {smallest:g}: {lower_lr_words(record)}"]


def front_lines(front: list[str]) -> list[str]:
    """At most so many, and how many more there are."""
    more = len(front) - MAX_SHOWN
    return front[:MAX_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def status_text(status: SweepStatus) -> str:
    """For people."""
    state = "running now" if status.driver_running else "not running"
    counts = {"stopped early": status.stopped, "diverged": status.diverged}
    early = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = [
        f"{status.sweep}: {state}",
        f"  done     {status.done} of {status.planned} trials" + (f" ({early})" if early else ""),
        f"  running  {status.running}",
        f"  failed   {status.failed}",
        f"  left     {status.left}",
        f"  epochs   {status.epochs_done} of {status.epochs_planned}",
    ]
    if status.best is not None:
        lines.append(f"  best     {status.best}")
    lines += [f"  front    {line}" for line in front_lines(status.front)]
    lines += [f"  note     {note}" for note in status.notes]
    lines += [f"  failed {key}: {error}" for key, error in status.errors.items()]
    if status.left and not status.driver_running:
        lines.append(f"`python tune_main.py run` with the same space goes on with the {status.left} that are left")
    return "\n".join(lines)


def status_page(store: Store, status: SweepStatus) -> str:
    """Return everything that `status` prints: the counts, a hint at the logs of failed trials, and the last run."""
    lines = [status_text(status)]
    if status.errors:
        lines.append(f"  {logs_hint(store, status.sweep, list(status.errors))}")
    last_run = last_run_text(store, status.sweep, is_running=status.driver_running)
    if last_run is not None:
        lines.append(f"  last run {last_run}")
    return "\n".join(lines)


def logs_hint(store: Store, sweep: str, failed: Sequence[str]) -> str:
    """Say what to type to see why trials failed.

    Args:
        failed: keys of the failed trials, at least one.
    """
    hint = f"logs: python tune_main.py logs {failed[0]}{store.option}"
    return hint if len(failed) == 1 else f"{hint}, of all {len(failed)}: logs --failed --sweep {sweep}{store.option}"


def status_json(status: SweepStatus, indent: int | None = 1) -> str:
    """For programs: the fields of SweepStatus; in one line where `indent` is None."""
    return json.dumps(asdict(status), indent=indent)
