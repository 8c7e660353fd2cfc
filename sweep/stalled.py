"""STORE/SWEEP/stalled.json: the running trials that have not moved for long, for `status`."""

import json
from collections.abc import Mapping

from results.store.store import Store
from trainable.ledger.checksums import parse_json

STALLED = "stalled.json"


def write_stalled(store: Store, sweep: str, notes: Mapping[str, str]) -> None:
    """Replace what is told of stalled trials; nothing is written while there never was any.

    Args:
        notes: trial key -> what is told of the trial.

    Raises:
        OSError, RemoteError: the file cannot be written.
    """
    if notes or read_stalled(store, sweep):
        store.write(sweep, STALLED, json.dumps(dict(notes)).encode() + b"\n")


def read_stalled(store: Store, sweep: str) -> dict[str, str]:
    """Return trial key -> what is told of the trial. A damaged file tells nothing."""
    try:
        notes = parse_json(store.read(sweep, STALLED) or b"{}")
    except (OSError, ValueError):
        return {}
    return {key: note for key, note in notes.items() if isinstance(note, str)} if isinstance(notes, dict) else {}
