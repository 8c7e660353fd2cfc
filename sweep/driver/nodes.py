"""The nodes of the cluster that this process is connected to."""

import time

import ray

from sweep.driver.capacity import Node

POLL_SECONDS = 1.0


def living_nodes() -> list[Node]:
    """The CPUs and GPUs of each node that is alive."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in resources]


def wait_for_nodes(count: int) -> None:
    """Wait until the cluster has `count` nodes, and tell the user that it waits."""
    if (found := len(living_nodes())) < count:
        print(f"waiting for {count} nodes, {found} there ...", flush=True)
    while len(living_nodes()) < count:
        time.sleep(POLL_SECONDS)
