"""The stores that are served, and the list of their sweeps."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from results.store.store import Store
from sweep.serving.changes import Changes
from sweep.serving.paced import Paced
from sweep.serving.pages import list_html
from sweep.serving.results_watch import ResultsWatch
from sweep.serving.sweep_watch import SweepWatch
from sweep.status.listing import DAMAGED, DONE, RESULTS_ONLY, RUNNING, UNFINISHED, start_command
from sweep.status.results_only import results_only
from sweep.status.watch import default_seconds
from trainable.errors import UserError
from trainable.wording import printable

STATES = (RUNNING, UNFINISHED, DAMAGED, DONE, RESULTS_ONLY)
"""The states of sweeps in the order of the list."""


class ServedStore:
    """A store, whose sweeps are found again and again."""

    def __init__(self, store: Store, number: int, option: str) -> None:
        """
        Args:
            store: is only read.
            number: position in the command, from 1; the paths of the store's pages begin with it.
            option: what the user wrote for it.
        """
        store.read_only = True
        self.store = store
        self.number = number
        self.option = option
        self.seconds = default_seconds(option)
        self._lock = threading.Lock()
        self._watches: dict[str, SweepWatch] = {}
        self._names = Paced(self._read_names, self.seconds)

    def watch(self, sweep: str) -> SweepWatch | None:
        """Return what reads this sweep; None if the store has no such sweep.

        Raises:
            UserError: the store does not answer, and this sweep was not found before.
        """
        trouble, watch = self._names.get(), self._watches.get(sweep)
        if watch is None and trouble:
            raise UserError(trouble)
        return watch

    def facts(self) -> dict[str, Any]:
        """Return the facts of the store's sweeps as JSON values, those that run first, then the newest."""
        trouble = self._names.get()
        with self._lock:
            watches = list(self._watches.values())
        found = [(watch.facts(), watch.created) for watch in watches]
        for watch in watches:
            watch.rest()
        found.sort(key=lambda item: item[1], reverse=True)
        found.sort(key=lambda item: STATES.index(item[0]["state"]))
        return {
            "store": printable(self.store.location()),
            "number": self.number,
            "trouble": trouble and printable(trouble),
            "missing": self.store.is_missing(),
            "start": printable(start_command(self.store)),
            "sweeps": [facts for facts, _ in found],
        }

    def _read_names(self) -> str | None:
        """Find the sweeps of the store; return why that is impossible, if it is."""
        try:
            found: dict[str, type[SweepWatch]] = dict.fromkeys(results_only(self.store), ResultsWatch)
            found |= dict.fromkeys(self.store.sweeps(), SweepWatch)
        except (UserError, OSError) as error:
            return str(error)
        with self._lock:
            for name, kind in found.items():
                if type(self._watches.get(name)) is not kind:
                    self._watches[name] = kind(self.store, name, self.seconds)
            for name in self._watches.keys() - found.keys():
                del self._watches[name]
        return None


class Board:
    """All stores that are served."""

    def __init__(self, stores: Sequence[Store], options: Sequence[str]) -> None:
        self.stores = [
            ServedStore(store, number, option)
            for number, (store, option) in enumerate(zip(stores, options, strict=True), start=1)
        ]
        self._changes = Changes()
        self._list = Paced(self._read, min(store.seconds for store in self.stores))

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Do not wait, inside this context, for a store that does not answer."""
        with contextlib.ExitStack() as stack:
            for served in self.stores:
                stack.enter_context(served.store.hurried())
            yield

    def facts(self) -> list[dict[str, Any]]:
        """Return the facts of each store."""
        self._list.get()
        return self._facts

    def changes_since(self, version: str) -> bytes | None:
        """Return the list as JSON if it has changed since a version of it, else None."""
        return self._list.get().since(version)

    def _read(self) -> Changes:
        self._facts = [served.facts() for served in self.stores]
        self._changes.update(list_html(self._facts), None)
        return self._changes
