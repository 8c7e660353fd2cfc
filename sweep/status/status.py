"""Count the trials of a sweep by their ledgers, also while the sweep runs or after a crash."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.parquet.axes import varying_names
from results.store.holder import Holder
from results.store.manifest import Manifest
from results.store.search_log import SearchRecord
from results.store.search_progress import (
    num_to_come,
    paused_keys,
    planned_trials,
    search_record,
    status_in_search,
    unsettled_notes,
)
from results.store.store import Store
from results.tables.layout import mean_text
from sweep.adaptive_repeats import separation_text
from sweep.runs import damaged_runs_text, last_run_text
from sweep.stalled import read_stalled
from sweep.status.search_words import best_words, end_notes, front_words, lower_lr_words
from sweep.trial_label import describe
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.files import IS_LINK, NO_LINK
from trainable.ledger.reading import trial_status
from trainable.records import Status, TrialSummary
from trainable.sweep_name import TRIALS
from trainable.wording import command, counted, json_text, printable_line

KEPT = ("at_work", "paused_keys", "is_search")
"""Fields that the JSON form does not have."""
MAX_SHOWN = 5
"""Number of members of a front that are shown."""


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Numbers of trials and epochs of a sweep."""

    sweep: str
    driver_running: bool
    planned: int
    done: int
    """Number of trials that are COMPLETE, STOPPED or DIVERGED."""
    stopped: int
    """Number of trials that this sweep's scheduler stopped; they are among the done ones."""
    diverged: int
    running: int
    failed: int
    left: int
    """Number of trials that a further `run` would start, resume or try again."""
    epochs_done: int
    epochs_planned: int
    errors: dict[str, str]
    """Trial key -> error of each failed trial."""
    best: str | None
    """The best result so far in words; None if there is none, or if a search has several objectives."""
    front: list[str]
    """For a search with several objectives: the trials that no other trial beats in all, by the first objective."""
    stalled: dict[str, str]
    """Trial key -> what the driver tells of a running trial that has not moved for long."""
    notes: list[str]
    """What else the user should know."""
    interrupted: int = 0
    """Number of trials that a run of this sweep began and left unfinished, and that nobody trains now."""
    paused: int = 0
    """Number of trials that the search has paused: they resume if they are promoted, and else end with the search."""
    separation: str | None = None
    """Whether the best configuration is separated from the others, where the errors decide on repeats."""
    run_id: str | None = None
    """Identifier of the driver's run; None if no driver is running."""
    running_since: str | None = None
    """Time at which that run began, in UTC; None if it is unknown."""
    at_work: frozenset[str] = frozenset()
    """Keys of the running trials; not in the JSON form."""
    paused_keys: frozenset[str] = frozenset()
    """Keys of the paused trials; not in the JSON form."""
    is_search: bool = False
    """Whether trials are proposed while the sweep runs; not in the JSON form."""

    @property
    def nothing_trained(self) -> bool:
        """Whether this is a search that is over and found nothing that can be trained."""
        return not self.planned and bool(self.notes)


def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Read the status once. Nothing is written."""
    return StatusReader(store, manifest).read()


class StatusReader:
    """Reads the status again and again; the folder of a trial that has ended for good is read only once."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._ended: dict[str, TrialSummary] = {}

    def read(self) -> SweepStatus:
        store, name = self._store, self._manifest.name
        if self._manifest.repeats is not None:  # its trials become more while it runs
            self._manifest = store.manifest(name)
        record = search_record(store, self._manifest)
        trials = planned_trials(self._manifest, record)
        keys = [trial.config.trial_key for trial in trials]
        found = store.summaries([key for key in keys if key not in self._ended])
        driver = store.driver(name)
        summaries = {key: self._ended.get(key) or found[key] for key in keys}
        self._ended |= {key: summary for key, summary in found.items() if trial_status(summary).is_final}
        return _count(store, self._manifest, record, trials, summaries, driver)


def _count(
    store: Store,
    manifest: Manifest,
    record: SearchRecord,
    trials: list[PlannedTrial],
    summaries: Mapping[str, TrialSummary],
    driver: Holder | None,
) -> SweepStatus:
    by_status = dict.fromkeys(Status, 0)
    epochs_done = epochs_planned = 0
    unfinished: dict[str, TrialSummary] = {}
    errors: dict[str, str] = {}
    paused = paused_keys(record)
    for trial in trials:
        key = trial.config.trial_key
        summary = summaries[key]
        status = status_in_search(record, trial, trial_status(summary))
        by_status[status] += 1
        if not status.is_final:
            unfinished[key] = summary
        num_epochs = _epochs_done(record, trial, summary, status)
        epochs_done += num_epochs
        epochs_planned += num_epochs if status.is_final or key in paused else trial.config.epochs
        if status is Status.FAILED and summary.end is not None:
            errors[key] = summary.end.error or ""
    done = sum(count for status, count in by_status.items() if status.is_final)
    planned = len(trials) + num_to_come(record)
    is_search = manifest.is_search or bool(record.settings)
    at_work = store.at_work(manifest.name, unfinished) - paused
    return SweepStatus(
        sweep=manifest.name,
        driver_running=driver is not None,
        planned=planned,
        done=done,
        stopped=by_status[Status.STOPPED],
        diverged=by_status[Status.DIVERGED],
        running=len(at_work),
        failed=by_status[Status.FAILED],
        left=planned - done,
        epochs_done=epochs_done,
        epochs_planned=epochs_planned,
        errors=errors,
        best=best_words(record) if is_search else lowest_error_text([trial.config for trial in trials], summaries),
        front=front_words(record),
        stalled=read_stalled(store, manifest.name) if driver is not None else {},
        notes=[
            *end_notes(record),
            *_divergence(record, trials, by_status, planned),
            *_damage(store, summaries),
            *(unsettled_notes(store, record) if driver is None else ()),
        ],
        interrupted=_num_begun(manifest, [unfinished[key] for key in unfinished.keys() - at_work - paused]),
        paused=len(paused),
        separation=separation_text(store, manifest),
        run_id=None if driver is None else driver.run_id,
        running_since=None if driver is None else driver.since or None,
        at_work=frozenset(at_work),
        paused_keys=frozenset(paused),
        is_search=is_search,
    )


def _epochs_done(record: SearchRecord, trial: PlannedTrial, summary: TrialSummary, status: Status) -> int:
    """Return the epochs of a trial in this sweep: another may have trained on what its scheduler stopped."""
    if status is not Status.STOPPED or trial.proposal is None:
        return summary.epochs_done
    return min(summary.epochs_done, record.proposals[trial.proposal].reports[-1].epoch)


def _num_begun(manifest: Manifest, unfinished: Sequence[TrialSummary]) -> int:
    """Count the trials that a run of this sweep has begun."""
    last = [trial.attempts[-1] for trial in unfinished if trial.end is None and trial.attempts]
    return sum(attempt.sweep == manifest.name for attempt in last)


def _damage(store: Store, summaries: Mapping[str, TrialSummary]) -> list[str]:
    """Name the first damaged file of the trials, and the first folder that is a link; `run` says what it did."""
    links = [key for key in summaries if store.trial_folder(key).is_symlink()]
    notes = [f"{store.location()}/{TRIALS}/{key} {IS_LINK}: {NO_LINK}" for key in links[:1]]
    damaged = [
        f"{store.location()}/{TRIALS}/{key}/{file}" for key, trial in summaries.items() for file in trial.damage
    ]
    if not damaged:
        return notes
    more = f" and {counted(len(damaged) - 1, 'other file')}" if len(damaged) > 1 else ""
    are = "are" if more else "is"
    told = f"{damaged[0]}{more} {are} damaged: `{command('run')}` with the same space trains what is missing"
    return [*notes, told]


def _divergence(
    record: SearchRecord, trials: list[PlannedTrial], by_status: dict[Status, int], planned: int
) -> list[str]:
    """Return what to do if every trial has diverged or failed, and at least one diverged."""
    diverged, failed = by_status[Status.DIVERGED], by_status[Status.FAILED]
    if not diverged or diverged + failed < planned:
        return []
    smallest = min(trial.config.lr for trial in trials)
    which = f"all {diverged} trials" if diverged > 1 else "the only trial"
    told = "every trial that did not fail diverged" if failed else f"{which} diverged"
    return [f"{told}, the smallest lr was {smallest:g}: {lower_lr_words(record)}"]


def lowest_error_text(configs: Sequence[TrainConfig], summaries: Mapping[str, TrialSummary]) -> str | None:
    """Return the finished configuration with the lowest mean test error after its last epoch; None if there is none.

    For example `batch_size=16 lr=0.8: test error 0.28 % (lowest of 9 trials)`, or with repeats `...: test error 0.31
    +- 0.04 % (n = 3, lowest of 9 configurations)`.
    """
    errors: dict[TrainConfig, list[float]] = {}
    for config in configs:
        summary = summaries[config.trial_key]
        if trial_status(summary) is Status.COMPLETE and summary.test_error_percent is not None:
            errors.setdefault(dataclasses.replace(config, seed=0), []).append(summary.test_error_percent)
    return best_of_errors(configs, errors)


def best_of_errors(configs: Sequence[TrainConfig], errors: Mapping[TrainConfig, Sequence[float]]) -> str | None:
    """Return the configuration with the lowest mean of its errors as `lowest_error_text`; None if there is none."""
    if not errors:
        return None
    best = min(errors, key=lambda config: statistics.fmean(errors[config]))
    text = f"{describe(best, varying_names(configs))}: test error {mean_text(errors[best])}"
    if max(len(repeats) for repeats in errors.values()) == 1:
        return f"{text} (lowest of {counted(len(errors), 'trial')})"
    return f"{text} (n = {len(errors[best])}, lowest of {counted(len(errors), 'configuration')})"


def front_lines(front: list[str]) -> list[str]:
    """Return the first members of a front, and how many more there are."""
    more = len(front) - MAX_SHOWN
    return front[:MAX_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def status_text(status: SweepStatus) -> str:
    """Return the status as text, a line for each figure."""
    since = f" (since {printable_line(status.running_since)})" if status.running_since else ""
    state = f"running now{since}" if status.driver_running else "not running"
    counts = {"stopped early": status.stopped, "diverged": status.diverged}
    early = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    idle = {"paused": status.paused, "interrupted": status.interrupted}
    waiting = ", ".join(f"{count} {word}" for word, count in idle.items() if count)
    lines = [
        f"{status.sweep}: {state}",
        f"  done     {status.done} of {counted(status.planned, 'trial')}" + (f" ({early})" if early else ""),
        f"  running  {status.running}",
        f"  failed   {status.failed}",
        f"  left     {status.left}" + (f" ({waiting})" if waiting else ""),
        f"  epochs   {status.epochs_done}" + ("" if status.is_search else f" of {status.epochs_planned}"),
    ]
    if status.best is not None:
        lines.append(f"  best     {status.best}")
    if status.separation is not None:
        lines.append(f"  repeats  {status.separation}")
    lines += [f"  front    {line}" for line in front_lines(status.front)]
    lines += [f"  stalled {key}: {printable_line(note)}" for key, note in status.stalled.items()]
    lines += [f"  note     {printable_line(note)}" for note in status.notes]
    lines += [f"  failed {key}: {printable_line(error)}" for key, error in status.errors.items()]
    if status.left and not status.driver_running:
        left = counted(status.left, "trial that is", "trials that are")
        lines.append(f"`{command('run')}` with the same space trains the {left} left")
    return "\n".join(lines)


def status_page(store: Store, status: SweepStatus) -> str:
    """Return everything that `status` prints: the counts, a hint at the logs of failed trials, and the last run."""
    lines = [status_text(status)]
    if status.errors:
        lines.append(f"  {logs_hint(store, status.sweep, list(status.errors))}")
    last_run = last_run_text(store, status.sweep, status.run_id)
    if last_run is not None:
        lines.append(f"  last run {last_run}")
    damaged_runs = damaged_runs_text(store, status.sweep)
    if damaged_runs is not None:
        lines.append(f"  note     {damaged_runs}")
    return "\n".join(lines)


def logs_hint(store: Store, sweep: str, failed: Sequence[str]) -> str:
    """Say what to type to see why trials failed."""
    hint = f"logs: {command('logs', failed[0])}{store.option}"
    all_of_them = f"logs --failed --sweep {sweep}{store.option}"
    return hint if len(failed) == 1 else f"{hint}, for all {len(failed)} failed trials: {all_of_them}"


def status_json(status: SweepStatus, indent: int | None = 1) -> str:
    """Return the fields of SweepStatus as JSON, in one line if `indent` is None."""
    fields = {name: value for name, value in dataclasses.asdict(status).items() if name not in KEPT}
    return json_text(fields, indent)
