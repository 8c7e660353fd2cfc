"""Notices that a process of Ray itself has died. Ray would then hang, and end this process after a minute."""

import atexit
import contextlib
import errno
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private.services import psutil  # which Ray brings along

from trainable.errors import RunEndedError
from trainable.wording import say

LOOK_SECONDS = 1.0
LOCAL_PATIENCE_SECONDS, CLUSTER_PATIENCE_SECONDS = 1.5, 20.0
"""Time without an answer after which a process counts as dead; the head of a cluster may be started again."""
END_SECONDS = 15.0
"""Time in which the run has to end by itself; Ray may hold the main thread until then."""
CONNECT_SECONDS = 5.0
OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of this process, which tell nothing about the other."""
SHOW_CURSOR = "\x1b[?25h"


class RayGuard:
    """Watches the raylet of this machine and the control service (GCS), in a thread of its own."""

    def __init__(self, scratch: Path, *, joins_cluster: bool) -> None:
        """
        Args:
            joins_cluster: whether Ray's processes are not ours.
        """
        self.scratch = scratch
        """The run's temporary folder."""
        self._joins_cluster = joins_cluster
        self._over = threading.Event()
        self.problem: RunEndedError | None = None
        """What ends the run; None while Ray lives."""

    def raise_problem(self) -> None:
        """
        Raises:
            RunEndedError: a process of Ray has died.
        """
        if self.problem is not None:
            raise self.problem

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch inside this context; enter it when Ray runs. Leave Ray with `abandon` if there is a problem then."""
        node = ray._private.worker._global_node
        host, _, port = node.gcs_address.rpartition(":")
        addresses = {"control service (GCS)": (host.strip("[]"), int(port)), "raylet": node.raylet_socket_name}
        threading.Thread(target=self._watch, args=(addresses,), name="ray-guard", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def abandon(self) -> None:
        """Kill what is left of a Ray of our own, and let this process end without Ray's own clean-up, which hangs."""
        if not self._joins_cluster:
            node = ray._private.worker._global_node
            below: list[Any] = []
            with contextlib.suppress(psutil.Error, LookupError):
                below = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            for process in below:  # the trials' processes, and the raylet's agents
                with contextlib.suppress(psutil.Error):
                    process.kill()
        atexit.register(_exit)

    def _watch(self, addresses: dict[str, tuple[str, int] | str]) -> None:
        patience = CLUSTER_PATIENCE_SECONDS if self._joins_cluster else LOCAL_PATIENCE_SECONDS
        answered_at = dict.fromkeys(addresses, time.monotonic())
        while not self._over.wait(LOOK_SECONDS):
            for name, address in addresses.items():
                if _answers(address):
                    answered_at[name] = time.monotonic()
                elif time.monotonic() - answered_at[name] > patience:
                    self._end(name)
                    return

    def _end(self, name: str) -> None:
        self.problem = RunEndedError(
            f"Ray's {name} has died: it was killed, or its memory was not enough; what was trained is kept: "
            "run the same command again"
        )
        if self._over.wait(END_SECONDS):
            return
        say(f"{SHOW_CURSOR * sys.stdout.isatty()}batchscape: {self.problem}", file=sys.stderr)
        self.abandon()
        shutil.rmtree(self.scratch, ignore_errors=True)
        _exit()


def _answers(address: tuple[str, int] | str) -> bool:
    """Return whether a process listens at HOST, PORT or at the path of a socket."""
    try:
        if isinstance(address, tuple):
            socket.create_connection(address, timeout=CONNECT_SECONDS).close()
        else:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(CONNECT_SECONDS)
                client.connect(address)
    except OSError as error:
        return error.errno in OWN_LIMITS
    return True


def _exit() -> None:
    """End this process at once, with the exit status of a run that was ended."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)
