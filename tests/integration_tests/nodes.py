"""Several Ray nodes on this machine, each with a network and a disk of its own, where root may make them.

A node is a network namespace on one bridge, and a mount namespace in which the folder `disk` is an empty file system.
Nodes can be killed as a power cut kills them: all processes at once.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.integration_tests.processes import kill

PORT, DASHBOARD_PORT = 6379, 8265
START_SECONDS = 90.0
RAY = Path(sys.executable).with_name("ray")


def run_as_root(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def can_make_nodes() -> bool:
    """Whether this process may make network and mount namespaces."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "mount", "nsenter", "unshare"))):
        return False
    made = f"bs{os.getpid()}t"
    with contextlib.suppress(subprocess.CalledProcessError):
        run_as_root("ip", "netns", "add", made)
        try:
            run_as_root("ip", "netns", "exec", made, "mount", "-t", "tmpfs", "tmpfs", "/mnt")
            return True
        finally:
            run_as_root("ip", "netns", "delete", made)
    return False


@dataclass
class Node:
    """One machine of the cluster."""

    name: str
    address: str
    disk: Path
    """Empty at first; the same path on every node, and another file system."""
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, output: int | IO[str] | None = None) -> subprocess.Popen[str]:
        """Start a command in this node's networks, with its disk."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", f"--mount={self._mounts}", *command]
        process = subprocess.Popen(inside, env=self.environment, stdout=output, stderr=output, text=True)
        self.processes.append(process)
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, output=subprocess.PIPE)
        stdout, stderr = process.communicate(timeout=START_SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    @property
    def _mounts(self) -> Path:
        return self.disk.parent / f"{self.name}.mounts"

    def make(self, number: int, bridge: str, network: str) -> None:
        """The namespaces, the cable to the bridge, the disk."""
        cable = f"{self.name}c"
        run_as_root("ip", "netns", "add", self.name)
        run_as_root("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run_as_root("ip", "link", "set", cable, "master", bridge, "up")
        inside = ["ip", "-n", self.name]
        run_as_root(*inside, "address", "add", f"{network}.{number}/24", "dev", "eth0")
        run_as_root(*inside, "link", "set", "eth0", "up")
        run_as_root(*inside, "link", "set", "lo", "up")
        run_as_root(*inside, "route", "add", "default", "via", f"{network}.254")
        self._mounts.touch()
        mounting = ["mount", "-t", "tmpfs", "tmpfs", str(self.disk)]
        run_as_root("unshare", f"--mount={self._mounts}", "--propagation", "private", *mounting)

    def pids(self) -> list[int]:
        listing = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [int(pid) for pid in listing.stdout.split()]

    def kill(self) -> None:
        """Everything on it, at once."""
        while pids := self.pids():
            kill(pids)
            time.sleep(0.05)
        for process in self.processes:
            process.communicate()

    def remove(self) -> None:
        self.kill()
        run_as_root("ip", "netns", "delete", self.name)
        run_as_root("umount", str(self._mounts))


class Nodes:
    """A cluster that grows and shrinks; the first node is the head."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """
        Args:
            folder: with a short path: Ray puts sockets below it.
        """
        self._folder = folder
        self.environment = dict(environment) | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        number = os.getpid() % 60000
        self._bridge, self._network = f"bs{number}", f"10.{200 + number // 250 % 50}.{number % 250}"
        self.gateway = f"{self._network}.254"
        """Address at which the nodes reach this process's own networks."""
        self.nodes: list[Node] = []
        self.disk = folder / "disk"
        self.disk.mkdir()
        run_as_root("mount", "--bind", str(folder), str(folder))
        run_as_root("mount", "--make-private", str(folder))  # namespaces cannot be kept as files on a shared mount
        run_as_root("ip", "link", "add", self._bridge, "type", "bridge")
        run_as_root("ip", "address", "add", f"{self.gateway}/24", "dev", self._bridge)
        run_as_root("ip", "link", "set", self._bridge, "up")

    @property
    def address(self) -> str:
        return f"{self.nodes[0].address}:{PORT}"

    def add(self, *options: str, head_options: tuple[str, ...] = ()) -> Node:
        """Add a node with one CPU and wait until it has joined; the first node is the head."""
        number = len(self.nodes) + 1
        environment = {
            **self.environment,
            "HOME": str(self.disk),
            "TMPDIR": str(self.disk),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        node = Node(f"{self._bridge}n{number}", f"{self._network}.{number}", self.disk, environment)
        node.make(number, self._bridge, self._network)
        self.nodes.append(node)
        joined = ["--address", self.address]
        head = ["--head", "--port", str(PORT), *(head_options or ["--include-dashboard=false"])]
        common = ["--node-ip-address", node.address, "--num-cpus", "1", "--object-store-memory", str(256 * 2**20)]
        temp = ["--temp-dir", str(self.disk / "ray")]
        begun = node.run(str(RAY), "start", *(joined if number > 1 else head), *common, *temp, *options)
        assert begun.returncode == 0, begun.stdout + begun.stderr
        return node

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()
        run_as_root("ip", "link", "delete", self._bridge)
        run_as_root("umount", str(self._folder))


@contextlib.contextmanager
def making_nodes(environment: Mapping[str, str]) -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="bs", dir="/tmp"))  # paths of sockets are short
    try:
        nodes = Nodes(folder, environment)
        try:
            yield nodes
        finally:
            nodes.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
