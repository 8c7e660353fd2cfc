"""Whether all nodes of a cluster see the store."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainable.errors import UserError
from trainable.ledger.files import remove_scratch, write_atomically
from trainable.tune_adapter import sees

PREFIX = ".driver-"
ANSWER_SECONDS = 60.0
"""Time in which each node has to answer."""


@contextlib.contextmanager
def seen_by_all_nodes(trials_folder: Path, sweep: str, run_id: str) -> Iterator[Path]:
    """Write a marker file beside the ledgers and check that every node sees it.

    The trials' processes look for it, too, since nodes may join later.

    Raises:
        UserError: a node does not see the file.
    """
    marker = trials_folder / f"{PREFIX}{sweep}"
    remove_scratch(trials_folder, marker.name)
    write_atomically(marker, run_id.encode())
    try:
        _check_other_nodes(marker, run_id)
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _check_other_nodes(marker: Path, run_id: str) -> None:
    look = ray.remote(sees)
    this_node = ray.get_runtime_context().get_node_id()
    asked = {
        look.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(marker, run_id): node
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != this_node
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS) if asked else ([], [])
    for answer in answered:
        with contextlib.suppress(ray.exceptions.RayError):  # a node that is lost now runs no trial either
            if not ray.get(answer):
                node = asked[answer]["NodeManagerAddress"]
                raise UserError(
                    f"the node {node} does not see the store's {marker.parent}: give --store s3://BUCKET/PREFIX, "
                    "or a folder that all nodes share"
                )
