"""What the processes of failed trials wrote last, for the interactive page."""

import contextlib
import re

import pyarrow as pa

from results.store.store import Store
from trainable.ledger.files import read_regular
from trainable.ledger.trial_log import logs_in, presentable
from trainable.records import Status
from trainable.wording import printable

MOST_LOGS = 200
"""Largest number of trials whose logs are in a page."""
LINES = 40
"""Number of lines of a log that are shown, the last ones."""
WIDTH = 500
"""Largest number of characters of a line."""


def failure_logs(store: Store, trials: pa.Table) -> dict[str, str]:
    """Return the end of the log of the last attempt of failed trials, by key; without those that the store lacks."""
    rows = trials.select(["trial_key", "status", "superseded"]).to_pylist()
    keys = [row["trial_key"] for row in rows if row["status"] == Status.FAILED and not row["superseded"]]
    found = {}
    for key in keys[:MOST_LOGS]:
        with contextlib.suppress(OSError):
            for path in [*logs_in(store.trial_with_logs(key)).values()][-1:]:
                text = re.sub(r"\r\n?", "\n", presentable(read_regular(path)).decode(errors="replace"))
                lines = [line[:WIDTH] for line in printable(text).rstrip("\n").split("\n")]
                found[key] = "\n".join(lines[-LINES:])
    return found
