"""What is said of a sweep at the end of a run, and by `status`."""

import sys
from collections.abc import Sequence

from results.store.store import Manifest, Store
from sweep.exit_codes import ExitCode
from sweep.runs import RunRecord, last_run_text, run_text
from sweep.status.status import SweepStatus, front_lines, status_text, sweep_status
from trainable.wording import command, counted


def report_end(store: Store, manifest: Manifest, record: RunRecord | None = None) -> ExitCode:
    """Say how the trials ended, where the results lie, and what to type next.

    Args:
        record: what the run took; None where nothing was left to do.
    """
    status = sweep_status(store, manifest)
    if status.nothing_trained:
        print(f"nothing could be trained: {'; '.join(status.notes)}", file=sys.stderr)
        return ExitCode.INCOMPLETE
    for key, error in status.errors.items():
        print(f"failed {key}: {error}", file=sys.stderr)
    if status.errors:
        print(logs_hint(store, manifest.name, list(status.errors)))
    for note in status.notes:
        print(f"note: {note}")
    if record is not None:
        print(run_text(record))
    if status.best is not None:
        print(f"best: {status.best}")
    for line in front_lines(status.front):
        print(f"front: {line}")
    folder = store.shown(store.sweep_folder(manifest.name))
    print(f"{status.done} of {counted(status.planned, 'trial')} done, results in {folder}")
    print(f"next: {command('table', manifest.name)}{store.option}")
    return ExitCode.INCOMPLETE if status.left or status.failed else ExitCode.DONE


def logs_hint(store: Store, sweep: str, failed: Sequence[str]) -> str:
    """Say what to type to see why trials failed."""
    hint = f"logs: {command('logs', failed[0])}{store.option}"
    return hint if len(failed) == 1 else f"{hint}, of all {len(failed)}: logs --failed --sweep {sweep}{store.option}"


def status_page(store: Store, status: SweepStatus) -> str:
    """Write everything that `status` shows: the counts, what to type where trials failed, and the last run."""
    lines = [status_text(status)]
    if status.errors:
        lines.append(f"  {logs_hint(store, status.sweep, list(status.errors))}")
    last_run = last_run_text(store, status.sweep, is_running=status.driver_running)
    if last_run is not None:
        lines.append(f"  last run {last_run}")
    return "\n".join(lines)
