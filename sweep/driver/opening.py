"""Open what a run needs of Ray: the cluster, and the signals that stop the run."""

import contextlib
from collections.abc import Iterator, Sequence

from search_spaces.resources import ResourceRule
from sweep.driver.cluster import Cluster, connected
from sweep.driver.resources import Resources
from sweep.driver.stop_request import StopRequest
from sweep.driver.tune_run import SweepContext
from sweep.estimate.dataset_size import DatasetSize
from sweep.preparation import PreparedRun
from sweep.request import RunRequest
from trainable.config import PlannedTrial
from trainable.execution import Execution


@contextlib.contextmanager
def opened(prepared: PreparedRun, trials: Sequence[PlannedTrial], run_id: str) -> Iterator[SweepContext]:
    """Start Ray or join a cluster; inside, a signal is a request to stop.

    Args:
        trials: trials to be trained; for a search those at the ends of its parameters.

    Raises:
        UserError: no such cluster, or it can never run such a trial.
    """
    data, resources = prepared.data, resources_of(prepared.request, prepared.rule)
    where = f"joining the Ray cluster at {resources.address}" if resources.is_joined else "starting Ray"
    print(f"{where} ...", flush=True)
    stop = StopRequest()  # takes the signals once Ray has put its own handlers in place
    num_bytes = data.train_images.nbytes + data.test_images.nbytes
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(connected(resources, trials, num_bytes, data.train_images.shape[1]))
        stack.enter_context(stop.on_signals())
        _check_memory(prepared, cluster, trials)
        yield SweepContext(
            cluster=cluster,
            data=data,
            trials_folder=prepared.store.ledgers,
            sweep=prepared.manifest.name,
            run_id=run_id,
            stop=stop,
            tracker=prepared.request.tracker,
        )


def resources_of(request: RunRequest, rule: ResourceRule) -> Resources:
    """Return what a request says about the machines to train on."""
    return Resources(
        request.address if request.is_joined else None,
        rule,
        request.max_concurrent,
        Execution(compile=request.compile),
        request.min_nodes,
    )


def _check_memory(prepared: PreparedRun, cluster: Cluster, trials: Sequence[PlannedTrial]) -> None:
    """Refuse shares of a GPU that are smaller than what the store's trainings are known to need.

    Raises:
        UserError: a trial would run out of memory.
    """
    if any(0 < share.gpus < 1 for share in cluster.expected):
        from sweep.estimate.history import peak_memory, read_speeds

        speeds = read_speeds(prepared.store, DatasetSize.of(prepared.data).equally_fast)
        cluster.check_memory(trials, peak_memory(speeds))
