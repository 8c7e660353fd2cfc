"""What the processes of a trial wrote: found by the trial's key, or the beginning of one."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from results.store.search_log import read_log
from results.store.search_progress import planned_trials
from results.store.store import Manifest, Store
from sweep.status.status import sweep_status
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.ledger.reading import read_summary, trial_status
from trainable.ledger.trial_log import logs_in, presentable
from trainable.records import Attempt, Status, TrialSummary

MAX_CANDIDATES = 5
TOLD_FIELDS = ("model", "dataset", "epochs", "batch_size", "lr", "seed")
_LINE_ENDS = re.compile(r"\r\n?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def failed_trials(store: Store, sweep: str) -> list[str]:
    """Keys of the sweep's trials that failed, in the order of the plan.

    Raises:
        UserError: no such sweep.
    """
    return list(sweep_status(store, store.manifest(sweep)).errors)


def find_trial(store: Store, word: str, sweep: str | None = None) -> str:
    """Name of the folder of the one trial whose key begins so.

    Args:
        word: a key or its beginning; a superseded training is named with what follows its key, too.
        sweep: look among the trials of this sweep only.

    Raises:
        UserError: none, or several; no such sweep.
    """
    names = store.trial_names()
    where = store.shown()
    if sweep is not None:
        keys = _keys(store, store.manifest(sweep))
        names = [name for name in names if name.partition(SUPERSEDED)[0] in keys]
        where = f"the sweep {sweep!r}"
    found = [name for name in names if name.startswith(word)]
    found = [name for name in found if name == word] or [name for name in found if SUPERSEDED not in name] or found
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
        raise UserError(f"{word!r} begins several trials of {where}: {', '.join(found[:MAX_CANDIDATES])}{more}")
    if not names:
        raise UserError(f"no trial {word!r}: {where} holds none that has begun")
    close = difflib.get_close_matches(word, names, n=MAX_CANDIDATES, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`status SWEEP` names those that failed"
    raise UserError(f"no trial {word!r} in {where}: {hint}")


def trial_text(store: Store, name: str) -> str:
    """What the trial is, how it stands, and of each attempt what is kept of its output."""
    store.refresh_logs(name)
    folder = store.trial_folder(name)
    standing, logs = read_summary(folder), logs_in(folder)
    lines = [_heading(name, standing)]
    for number, path in logs.items():
        lines += [_attempt_line(number, standing.attempts), _shown(presentable(path.read_bytes()))]
    if not logs:
        lines.append("nothing is kept of what its processes wrote" if standing.attempts else "it has not begun")
    return "\n".join(lines)


def _keys(store: Store, manifest: Manifest) -> set[str]:
    log = store.search_log(manifest.name)
    store.refresh(log)
    return {trial.config.trial_key for trial in planned_trials(manifest, read_log(log))}


def _heading(name: str, standing: TrialSummary) -> str:
    config: Mapping[str, Any] = standing.config
    fields = " ".join(f"{field}={config[field]}" for field in TOLD_FIELDS if field in config)
    status = trial_status(standing)
    error = f": {standing.end.error}" if status is Status.FAILED and standing.end is not None else ""
    return _shown(f"{name}  {fields}  {status}{error}".encode())


def _attempt_line(number: int, attempts: Sequence[Attempt]) -> str:
    if number > len(attempts):
        return f"--- attempt {number}, which could not begin"
    one = attempts[number - 1]
    sweep = f", sweep {one.sweep}" if one.sweep else ""
    return _shown(f"--- attempt {number} of {len(attempts)}, {one.start_time} on {one.host}{sweep}".encode())


def _shown(content: bytes) -> str:
    """As text in which nothing commands a terminal: it may come from elsewhere."""
    text = _LINE_ENDS.sub("\n", content.decode(errors="replace"))
    return _CONTROLS.sub(lambda control: f"\\x{ord(control[0]):02x}", text).rstrip("\n")
