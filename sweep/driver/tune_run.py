"""Runs the trials of a sweep on Ray Tune.

Tune schedules and does nothing else: its experiment folder is scratch, and its loggers, checkpoints and restore are
off. A trial's state lies in its ledger (see `trainable.ledger.ledger`), and every run starts a new Tuner.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from sweep.driver.callbacks import ObserverCallback, StoppedError
from sweep.driver.cluster import Cluster, connected
from sweep.driver.ray_guard import RayGuard
from sweep.driver.scratch import refuse_full
from sweep.driver.search_plugins import ProposingSearcher, SearchSteps, StoppingScheduler
from sweep.driver.stop_request import StopRequest, warning_held_back
from sweep.driver.store_marker import seen_by_all_nodes
from sweep.driver.supervision import RayBoard, Supervision
from sweep.driver.trackers import Tracker
from sweep.estimate.history import peak_memory, read_speeds
from sweep.estimate.work import DatasetSize
from sweep.kept_weights import writes_weights
from sweep.observers.observer import Observer
from sweep.preparation import PreparedRun
from sweep.search.search import Search
from sweep.trial_label import telling_fields
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.device import builds_fused_kernel, fused_kernel_meanwhile
from trainable.errors import RunEndedError, UserError
from trainable.execution import Execution, Share
from trainable.provenance import gpu_names
from trainable.session import RunInfo
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import SHARE, TRIAL_KEY, TrainingTrainable, placement, start_hosts
from trainable.wording import say

MAX_DEATHS = 2
"""How often a trial is retried after its process or its node died without an epoch in between."""


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What all trials of a run share."""

    cluster: Cluster
    prepared: PreparedRun
    run_id: str
    stop: StopRequest
    """Asked at every step whether the run is to stop."""
    is_fused: bool = False
    """Whether trials on CPUs use the fused kernel where it lies."""


@contextlib.contextmanager
def opened(prepared: PreparedRun, trials: Sequence[PlannedTrial], run_id: str) -> Iterator[SweepContext]:
    """Start Ray or join a cluster; inside, a signal is a request to stop, as is the end of the time limit.

    Args:
        trials: trials to be trained; for a search those at the ends of its parameters.

    Raises:
        UserError: no such cluster, or it can never run such a trial.
    """
    request = prepared.request
    with contextlib.ExitStack() as stack:
        # Ray takes about as long to start as a compiler.
        is_kernel_there = partial(builds_fused_kernel, say) if gpu_names() else fused_kernel_meanwhile(say)
        with warning_held_back():
            cluster = stack.enter_context(connected(request, prepared.rule, trials, prepared.data))

            def check_driver(*, ask: bool = False) -> None:
                cluster.guard.raise_problem()
                prepared.store.check_driver(prepared.manifest.name, ask=ask)

            stop = StopRequest(check_driver, limit=request.time_limit, fail_fast=request.fail_fast)
            stack.enter_context(stop.on_signals())  # after Ray has put its own handlers in place
        if any(0 < share.gpus < 1 for share in cluster.expected):
            speeds = read_speeds(prepared.store, DatasetSize.of(prepared.data).equally_fast)
            cluster.check_memory(trials, peak_memory(speeds))
        is_fused = any(share.gpus == 0 for share in cluster.expected) and is_kernel_there()
        yield SweepContext(cluster, prepared, run_id, stop, is_fused)


def run_planned(
    context: SweepContext,
    configs: Mapping[str, TrainConfig],
    shares: Mapping[str, Share],
    observers: Sequence[Observer],
) -> None:
    """Train these trials; return when each has ended. A trial that fails is recorded and does not end the sweep.

    Args:
        configs: trial key -> configuration, in the order in which the trials are to start.
        shares: trial key -> resources of the trial.

    Raises:
        UserError: the tracker cannot be reached, or a node does not see the store.
        KeyboardInterrupt: the run is to stop, or another has taken the sweep over; the ledgers hold what was done.
    """
    carried = {key: dataclasses.asdict(shares[key]) for key in configs}
    param_space = {
        TRIAL_KEY: tune.grid_search(list(configs)),
        SHARE: tune.sample_from(lambda config: carried[config[TRIAL_KEY]]),
    }
    tune_config = tune.TuneConfig(reuse_actors=True, max_concurrent_trials=context.cluster.request.max_concurrent)
    _fit(context, configs, observers, None, param_space, tune_config)


def run_search(context: SweepContext, search: Search, observers: Sequence[Observer]) -> None:
    """Train what the search proposes, and stop the trials that it prunes; return when it is over.

    Raises:
        UserError: as `run_planned`, or the search's log cannot be written.
        KeyboardInterrupt: as `run_planned`; the ledgers and the search's log hold what was done.
    """
    steps = SearchSteps(search, context.cluster.share, observers)
    tune_config = tune.TuneConfig(
        reuse_actors=True,
        search_alg=ProposingSearcher(steps, context.cluster.num_under_way),
        scheduler=StoppingScheduler(steps),
        num_samples=-1,
    )
    _fit(context, {}, observers, steps, {}, tune_config)


def _fit(
    context: SweepContext,
    configs: Mapping[str, TrainConfig],
    observers: Sequence[Observer],
    steps: SearchSteps | None,
    param_space: dict[str, Any],
    tune_config: tune.TuneConfig,
) -> None:
    cluster, prepared = context.cluster, context.prepared
    settings = None if steps is None else steps.search.settings
    sweep, folder = prepared.manifest.name, prepared.store.ledgers
    run = RunInfo(
        context.run_id,
        cluster.usual_share.num_threads,
        provenance.code_identity(),
        Execution(compile=prepared.request.compile, fused=context.is_fused),
        sweep,
        keep_final_state=settings is not None and settings.scheduler.type == "pbt",
        keep_weights=writes_weights(prepared.manifest.keep_weights, settings),
        keep_output=True,
        store_id=prepared.store.store_id,
    )
    with contextlib.ExitStack() as stack:
        trackers = []
        if prepared.request.tracker is not None:
            tracker = _tracker(prepared.request.tracker, prepared, configs, steps)
            trackers = [stack.enter_context(contextlib.closing(tracker))]
        marker = None
        if cluster.request.is_joined and isinstance(folder, Path):
            marker = stack.enter_context(seen_by_all_nodes(folder, sweep, context.run_id))
        board = RayBoard(context.run_id, cluster.guard)
        supervision = Supervision(board, prepared.store, sweep, observers)
        stack.callback(supervision.close)
        setup = TrialSetup(
            configs=dict(configs),
            trials_folder=folder,
            run=run,
            source_hash=provenance.source_hash(),
            sources=tuple(prepared.manifest.sources),
            marker=marker,
        )
        callback = ObserverCallback(observers, setup, prepared.store, context.stop, steps, supervision)
        hosts = start_hosts(setup, prepared.data) if any(share.streams for share in cluster.expected) else None
        trainable = tune.with_parameters(TrainingTrainable, sweep=setup, data=prepared.data, hosts=hosts)
        tuner = tune.Tuner(
            tune.with_resources(trainable, placement),
            param_space=param_space,
            tune_config=tune_config,
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=tempfile.mkdtemp(prefix="tune-", dir=cluster.guard.scratch),
                verbose=0,
                progress_reporter=tune.CLIReporter(),  # the one for notebooks clears what we have printed
                callbacks=[*trackers, callback],
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        context.stop.raise_if_requested()
        _run(tuner, cluster.guard)


def _tracker(
    name: str, prepared: PreparedRun, configs: Mapping[str, TrainConfig], steps: SearchSteps | None
) -> Tracker:
    shown = prepared.manifest.trials if prepared.search is None else prepared.search.corners
    fields = telling_fields([trial.config for trial in shown])
    paused = set() if steps is None else steps.paused
    return Tracker(name, prepared.manifest.name, configs, fields, paused.__contains__)


def _run(tuner: tune.Tuner, guard: RayGuard) -> None:
    try:
        tuner.fit()
    except StoppedError:
        raise KeyboardInterrupt from None
    except (Exception, KeyboardInterrupt) as error:
        guard.raise_problem()
        if not isinstance(error, UserError | KeyboardInterrupt):
            refuse_full(RunEndedError, "what was trained is kept: ")
        raise
