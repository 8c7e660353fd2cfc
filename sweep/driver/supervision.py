"""Tells of trials that do not move, and ends their processes in the end, so that they are tried again."""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import ray
from ray.exceptions import RpcError
from ray.experimental import internal_kv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.driver.ray_guard import RayGuard
from sweep.observers.observer import Observer
from sweep.stalled import write_stalled
from trainable.decoding import decode
from trainable.errors import UserError
from trainable.heartbeat import Beat, end_process
from trainable.tune_adapter import HEARTBEATS

LOOK_SECONDS = 5.0
GIVE_UP_SECONDS = 1800.0
"""Time without a move after which a process is ended. It is longer for a slow training (`Beat.allowed_seconds`)."""
TOLD_SHARE = 1 / 6
"""Share of that time after which the user is told."""


class Board(Protocol):
    """Where the processes of the trials tell of their moves."""

    def read(self, trial_key: str) -> bytes | None: ...

    def end_process(self, beat: Beat) -> None: ...

    def clear(self) -> None: ...


class RayBoard:
    """The key-value store of Ray's control service, which all nodes reach."""

    def __init__(self, run_id: str, guard: RayGuard) -> None:
        self._prefix = f"{run_id}/"
        self._guard = guard

    def read(self, trial_key: str) -> bytes | None:
        content: bytes | None = None
        with contextlib.suppress(RpcError):
            content = internal_kv._internal_kv_get(self._prefix + trial_key, namespace=HEARTBEATS)
        return content

    def end_process(self, beat: Beat) -> None:
        """Kill the process by a task on its node: Ray itself asks a process to end, and one that hangs does not."""
        there = NodeAffinitySchedulingStrategy(beat.node, soft=False)
        ray.remote(end_process).options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(beat.pid)

    def clear(self) -> None:
        with contextlib.suppress(RpcError):
            if self._guard.problem is None:
                internal_kv._internal_kv_del(self._prefix, del_by_prefix=True, namespace=HEARTBEATS)


class Supervision:
    """Looks at the trials that run, as often as it is asked to."""

    def __init__(
        self,
        board: Board,
        store: Store,
        sweep: str,
        observers: Sequence[Observer],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._store = store
        self._sweep = sweep
        self._observers = observers
        self._clock = clock
        self._looked_at = 0.0
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """Trial key -> what was told last, and when that was first seen."""
        self._outdated: dict[str, bytes | None] = {}
        """Trial key -> what its earlier process told last."""
        self._told: dict[str, str] = {}
        """Trial key -> note on a trial that stands still."""
        self._written: dict[str, str] | None = None
        self.ended: dict[str, str] = {}
        """Trial key -> why its process was ended."""

    def on_trial_start(self, trial_key: str) -> None:
        """Forget what an earlier process has told of the trial."""
        content, _ = self._seen.pop(trial_key, (None, 0.0))
        self._outdated[trial_key] = content
        self._told.pop(trial_key, None)

    def look(self, running: Collection[str]) -> None:
        """Look at the trials that run, but only every few seconds.

        Args:
            running: the keys of the trials.
        """
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for key in running:
            self._look_at(key, now)
        self._told = {key: note for key, note in self._told.items() if key in running}
        if self._told != (self._written or {}) or self._written is None:
            self._write()

    def close(self) -> None:
        """Leave nothing behind."""
        self._told = {}
        self._write()
        self._board.clear()

    def _look_at(self, key: str, now: float) -> None:
        content = self._board.read(key)
        if content is None:  # nothing is told so far, or Ray does not answer
            return
        before, since = self._seen.get(key, (None, now))
        if content != before or key not in self._seen:
            self._seen[key] = (content, now)
            if self._told.pop(key, None) is not None:
                self._tell(key, "moves again", is_stalled=False)
            return
        if content == self._outdated.get(key):
            return
        beat = decode(Beat, json.loads(content))
        patience = max(GIVE_UP_SECONDS, beat.allowed_seconds)
        if not beat.is_busy or now - since < TOLD_SHARE * patience:
            return
        still, where = format_seconds(now - since), f"({beat.host}, process {beat.pid})"
        if now - since >= patience:
            self.ended[key] = f"it did not move for {still}, and its process {where} was ended"
            self._board.end_process(beat)
            self._seen[key] = (content, now)
            self._told.pop(key, None)
            self._tell(key, self.ended[key], is_stalled=False)
        elif key not in self._told and key not in self.ended:  # a process that is being ended is told of already
            self._told[key] = f"has not moved for {still} {where}"
            self._tell(key, self._told[key], is_stalled=True)

    def _tell(self, key: str, note: str, *, is_stalled: bool) -> None:
        for observer in self._observers:
            observer.on_trial_note(key, note, is_stalled=is_stalled)

    def _write(self) -> None:
        self._written = dict(self._told)
        with contextlib.suppress(OSError, UserError), self._store.hurried():
            write_stalled(self._store, self._sweep, self._told)
