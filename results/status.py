"""Where a sweep stands, read from its trials' ledgers: also while it runs, also after a crash."""

import json
from dataclasses import asdict, dataclass

from results.search_status import best_words, num_given_up, num_to_come, planned_trials, status_in_search
from results.store import Manifest, Store
from trainable.ledger import read_standing, trial_status
from trainable.records import Standing, Status
from trainable.search_log import read_log


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


def sweep_status(store: Store, manifest: Manifest) -> SweepStatus:
    """Count; nothing is written."""
    store.refresh(store.search_log(manifest.name))
    record = read_log(store.search_log(manifest.name))
    trials = planned_trials(manifest, record)
    store.refresh_trials([trial.config.trial_key for trial in trials])
    driver_running = store.is_running(manifest.name)
    by_status = dict.fromkeys(Status, 0)
    epochs_done = epochs_planned = 0
    unfinished: dict[str, Standing] = {}
    errors: dict[str, str] = {}
    for trial in trials:
        key = trial.config.trial_key
        standing = read_standing(store.trial_folder(key))
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
        left=planned - done - num_given_up(record),
        epochs_done=epochs_done,
        epochs_planned=epochs_planned,
        errors=errors,
        best=best_words(record),
    )


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
    lines += [f"  failed {key}: {error}" for key, error in status.errors.items()]
    if status.left and not status.driver_running:
        lines.append(f"`python tune_main.py run` with the same space goes on with the {status.left} that are left")
    return "\n".join(lines)


def status_json(status: SweepStatus) -> str:
    """For programs: the fields of SweepStatus."""
    return json.dumps(asdict(status), indent=1)
