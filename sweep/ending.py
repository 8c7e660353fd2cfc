"""What a run says at its end."""

import sys

from results.store.manifest import Manifest
from results.store.store import Store
from sweep.exit_codes import ExitCode
from sweep.request import StopCause
from sweep.runs import RunRecord, run_text
from sweep.status.status import front_lines, logs_hint, sweep_status
from trainable.wording import command, counted, printable_line, say

UNATTENDED = (StopCause.TIME_LIMIT, StopCause.FAILURE)
"""Causes after which the run reports its results as at its end."""


def report_stop(
    store: Store, manifest: Manifest, cause: StopCause | None = None, same: str = "the same command"
) -> None:
    """Say how many trials an interrupted run leaves done, and that the `same` command resumes."""
    status = sweep_status(store, manifest)
    trials = f"{status.done} of {counted(status.planned, 'trial')} done"
    if cause in UNATTENDED:
        trials = f"{trials}, {status.left} left"
    say(f"\nstopped{cause.value if cause else ''} with {trials}; {same} resumes", file=sys.stderr)


def report_end(
    store: Store, manifest: Manifest, record: RunRecord | None = None, cause: StopCause | None = None
) -> ExitCode:
    """Say how the trials ended, where the results lie, and what to type next; after a signal say nothing more.

    Args:
        record: what the run took; None where nothing was left to do.
        cause: why the run was stopped, if it was.
    """
    is_interrupted = record is not None and record.interrupted
    if is_interrupted and cause not in UNATTENDED:
        return ExitCode.INTERRUPTED
    status = sweep_status(store, manifest)
    if status.nothing_trained:
        say(f"nothing could be trained: {printable_line('; '.join(status.notes))}", file=sys.stderr)
        return ExitCode.INCOMPLETE
    for key, error in status.errors.items():
        say(f"failed {key}: {printable_line(error)}", file=sys.stderr)
    if status.errors:
        say(logs_hint(store, manifest.name, list(status.errors)))
    for note in status.notes:
        say(f"note: {printable_line(note)}")
    if record is not None:
        say(run_text(record))
    if status.best is not None:
        say(f"best: {status.best}")
    if status.separation is not None:
        say(status.separation)
    for line in front_lines(status.front):
        say(f"front: {line}")
    folder = store.location(manifest.name)
    say(f"{status.done} of {counted(status.planned, 'trial')} done, results in {folder}")
    say(f"next: {command('table', manifest.name)}{store.option}")
    is_cut = is_interrupted and cause is StopCause.TIME_LIMIT
    return ExitCode.INCOMPLETE if status.failed or (status.left and not is_cut) else ExitCode.DONE
