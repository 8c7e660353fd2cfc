"""Show what the processes of a trial wrote; the trial is found by its key or the beginning of the key."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from results.store.store import Store
from sweep.status.listing import trial_keys
from sweep.status.status import sweep_status
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED, read_regular
from trainable.ledger.reading import read_summary, trial_status
from trainable.ledger.trial_log import logs_in, presentable
from trainable.records import Attempt, Status, TrialSummary
from trainable.wording import closest, listed, printable, printable_line

MAX_CANDIDATES = 5
TOLD_FIELDS = ("model", "dataset", "epochs", "batch_size", "lr", "seed")
_LINE_ENDS = re.compile(r"\r\n?")


def failed_trials(store: Store, sweep: str) -> list[str]:
    """Return the keys of the sweep's failed trials, in the order of the plan.

    Raises:
        UserError: there is no such sweep.
    """
    return list(sweep_status(store, store.manifest(sweep)).errors)


def find_trial(store: Store, word: str, sweep: str | None = None) -> str:
    """Return the name of the folder of the only trial whose key begins with a word.

    Args:
        word: a key or its beginning; for superseded results also what follows the key in the name of their folder.
        sweep: look among the trials of this sweep only.

    Raises:
        UserError: no trial or several trials begin so, or there is no such sweep.
    """
    names = store.trial_names()
    where = store.location()
    if sweep is not None:
        keys = trial_keys(store, store.manifest(sweep))
        names = [name for name in names if name.partition(SUPERSEDED)[0] in keys]
        where = f"the sweep {sweep!r}"
    found = [name for name in names if name.startswith(word)]
    found = [name for name in found if name == word] or [name for name in found if SUPERSEDED not in name] or found
    if len(found) == 1:
        return found[0]
    if found:
        candidates = listed(found, MAX_CANDIDATES)
        raise UserError(f"{word!r} is the beginning of several trials of {where}: {candidates}")
    if not names:
        raise UserError(f"no trial {word!r}: no trial of {where} has begun")
    close = closest(word, names, MAX_CANDIDATES)
    lists = "`status SWEEP` names those that failed, its trials.parquet all"
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else lists
    raise UserError(f"no trial {word!r} in {where}: {hint}")


def trial_text(store: Store, name: str) -> str:
    """Return what the trial is, its status, and the output that is kept of each attempt."""
    folder = store.trial_with_logs(name)
    summary, logs = read_summary(folder), logs_in(folder)
    lines = [trial_heading(name, summary)]
    for number, path in logs.items():
        lines += [_attempt_line(number, summary.attempts), _printable(presentable(read_regular(path)))]
    if not logs:
        lines.append("nothing that its processes wrote is kept" if summary.attempts else "it has not begun")
    return "\n".join(lines)


def trial_heading(name: str, summary: TrialSummary) -> str:
    """Say which trial it is: its key, its main fields, its status, and why it failed."""
    config: Mapping[str, Any] = summary.config
    fields = " ".join(f"{field}={config[field]}" for field in TOLD_FIELDS if field in config)
    status = trial_status(summary)
    error = f": {summary.end.error}" if status is Status.FAILED and summary.end is not None else ""
    return printable_line(f"{name}  {fields}  {status}{error}")


def _attempt_line(number: int, attempts: Sequence[Attempt]) -> str:
    if number > len(attempts):
        return f"--- attempt {number}, which could not start"
    attempt = attempts[number - 1]
    sweep = f", sweep {attempt.sweep}" if attempt.sweep else ""
    return printable_line(f"--- attempt {number} of {len(attempts)}, {attempt.start_time} on {attempt.host}{sweep}")


def _printable(content: bytes) -> str:
    """Decode the output of a process in a form that cannot command a terminal."""
    return printable(_LINE_ENDS.sub("\n", content.decode(errors="replace"))).rstrip("\n")
