"""A process that trains several trials at a time on one GPU, each on a CUDA stream of its own. No Ray."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import torch

from trainable.data.contract import ImageData
from trainable.device import limit_memory, prepare_device
from trainable.records import Progress
from trainable.side_by_side import Turns
from trainable.trial_worker import Assignment, Cuts, Node, TrialSetup, TrialWorker

HOST_CALLS = 32
"""Number of calls that a host answers at the same time; a trial makes one at a time."""
LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Guest:
    trial: Assignment
    worker: TrialWorker
    pid: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the trial is worked on."""


class TrialHost:
    """Trains the trials that other processes of this node send; each call comes in a thread of its own."""

    def __init__(self, gpu: str, sweep: TrialSetup, data: ImageData, this_node: Callable[[str], Node]) -> None:
        """
        Args:
            gpu: what CUDA_VISIBLE_DEVICES is to be; empty for none.
            data: the data set, whose images lie on the GPU only once.
        """
        if gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        self._sweep = sweep
        self._data = data
        self._device = prepare_device(sweep.run.num_threads, use_gpu=bool(gpu))
        self._node = this_node(sweep.run.run_id)
        self._turns = Turns()
        self._cuts: Cuts = WeakValueDictionary()
        self._lock = threading.Lock()
        self._guests: dict[str, _Guest] = {}
        self._free: list[TrialWorker] = []
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="guests", daemon=True).start()

    def ready(self) -> None:
        """Return when the host has started."""

    def begin(self, trial: Assignment, pid: int) -> None:
        """Take a trial from the beginning of its ledger.

        Args:
            pid: the process that sends it; without it the trial ends here.
        """
        self.end(trial.trial_key)
        with self._turns.alone(), self._lock:
            worker = self._free.pop() if self._free else self._new_worker()
            worker.assign(trial)
            self._guests[trial.trial_key] = _Guest(trial, worker, pid)
            self._limit_memory()

    def step(self, trial_key: str) -> Progress:
        """Replay or train one epoch of a trial; see `TrialWorker.step`."""
        guest = self._guests[trial_key]
        with guest.lock:
            torch.set_num_threads(guest.trial.share.num_threads)  # a setting of each thread
            return guest.worker.step()

    def end(self, trial_key: str) -> None:
        """Write a checkpoint of a trial after its epoch, and release it; nothing happens if it is not here."""
        guest = self._guests.get(trial_key)
        if guest is None:
            return
        with guest.lock:
            if self._guests.get(trial_key) is not guest:  # ended meanwhile
                return
            try:
                guest.worker.cleanup()
            finally:
                with self._turns.alone(), self._lock:
                    del self._guests[trial_key]
                    self._free.append(guest.worker)
                    self._limit_memory()

    def close(self) -> None:
        """End all trials, and look after their processes no more."""
        self._closed.set()
        for key in list(self._guests):
            self.end(key)

    def _new_worker(self) -> TrialWorker:
        return TrialWorker(self._sweep, self._data, self._device, self._node, (self._turns, self._cuts))

    def _limit_memory(self) -> None:
        """Let the trials take as much GPU memory as their shares are together."""
        if self._device.type == "cuda" and self._guests:
            limit_memory(sum(guest.trial.share.gpus for guest in self._guests.values()))

    def _watch(self) -> None:
        """End the trials whose processes have died, so that others can train them."""
        while not self._closed.wait(LOOK_SECONDS):
            for key, guest in list(self._guests.items()):
                try:
                    os.kill(guest.pid, 0)
                except ProcessLookupError:
                    with contextlib.suppress(Exception):
                        self.end(key)
