"""A sweep's trials on Ray Tune: the only module of this package that knows Ray.

Tune schedules and nothing else: its experiment folder is scratch, its loggers, checkpoints and restore are
off. What a trial did lies in its ledger (see trainable.ledger.files), and every run starts a Tuner anew.
"""

import contextlib
import dataclasses
import logging
import math
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.resources import ResourceRule, case_of
from sweep.driver.capacity import Given, Node, check_memory, check_possible, num_slots
from sweep.observers.observer import Observer
from sweep.search.search import Search
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.execution import COMPILE_NEEDS_GPU, DEFAULT_EXECUTION, Execution, Share
from trainable.gpu_share import Case, Needs, choose_shares
from trainable.ledger.files import LOCK
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked
from trainable.wording import counted, one_line

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_AUTH_MODE": "disabled",  # else a token is written into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # inside a job, too, workers get our working_dir
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches us as KeyboardInterrupt
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
SHIPPED_PACKAGES = ("models", "trainable")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROBE_SECONDS = 5.0
SCRATCH_PREFIX = "batchscape-"
WORKER_DEATHS = 2
"""How often a trial is tried again after its process died, or its node, without an epoch in between."""
LOCAL = "local"
"""--address: Ray on this machine, whatever RAY_ADDRESS says."""
CLIENT_SCHEME = "ray://"
NODE_POLL_SECONDS = 1.0
LOOK_SECONDS = 60.0
"""For every node to say whether it sees the store."""
MARKER_PREFIX = ".driver-"
MEASURE_SECONDS = 1.0
"""Of steps, each number of trainings on a GPU."""
PROCESS_DIED = "the trial's process died: it was killed, or its memory was not enough"
ANSI_STYLE = re.compile(r"\x1b\[[\d;]*m")
FAILURE = "Failure # "
"""Begins what Tune writes of each failure of a trial."""
OBJECT_STORE_SPARE_BYTES = 256 * 2**20

os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})

import ray  # noqa: E402 (reads the environment when it is imported)
from ray import tune  # noqa: E402
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE  # noqa: E402
from ray.tune.schedulers import FIFOScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402
from ray.util.placement_group import placement_group, remove_placement_group  # noqa: E402
from ray.util.scheduling_strategies import (  # noqa: E402
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from sweep.driver.trackers import Tracker  # noqa: E402
from trainable.ledger.remote_ledger import RemoteFolder  # noqa: E402
from trainable.probe import GpuProbe, gpu_memory  # noqa: E402
from trainable.records import Progress, Status  # noqa: E402
from trainable.session import RunInfo, record_failure  # noqa: E402
from trainable.tune_adapter import (  # noqa: E402
    ANCESTORS,
    CONFIG,
    SHARE,
    TRIAL_KEY,
    TrainingTrainable,
    TrialSetup,
    config_of,
    from_report,
    placement,
    sees,
    share_of,
)

# Tune would put them into every trial's runtime environment, which Ray writes into its logs on every node.
ENV_VARS_TO_PROPAGATE.difference_update([name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")])


@dataclass(frozen=True, slots=True)
class Resources:
    """What `run` was told of the machine."""

    address: str | None = None
    """Of a running Ray cluster; None and LOCAL start Ray here for this run."""
    rule: ResourceRule = field(default_factory=ResourceRule)
    """What each trial is given."""
    max_concurrent: int | None = None
    execution: Execution = DEFAULT_EXECUTION
    min_nodes: int = 1
    """That the cluster must have before anything begins."""

    @property
    def is_joined(self) -> bool:
        """Whether Ray runs already."""
        return self.address not in (None, LOCAL)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to Ray that was found able to run the trials."""

    scratch: Path
    resources: Resources
    default_gpus: float
    """For a trial, where nothing is said of GPUs."""
    measured: Mapping[Case, float]
    """Case -> share of a GPU, where it was to be measured."""
    expected: Sequence[Share]
    """What the trials that it was opened for are given; of a search what its corners are."""

    @property
    def execution(self) -> Execution:
        return self.resources.execution

    def share(self, trial: PlannedTrial) -> Share:
        """What this trial is given.

        Raises:
            UserError: an expression that cannot be computed, or an impossible number.
        """
        return self.resources.rule.share(trial, self.default_gpus, self.measured)

    @property
    def usual_share(self) -> Share:
        """What most trials are given."""
        return Counter(self.expected).most_common(1)[0][0]

    def num_slots(self) -> int:
        """Trials that the nodes of this moment can run at a time."""
        slots = num_slots(_nodes(), self.expected)
        most = self.resources.max_concurrent
        return slots if most is None else min(slots, most)

    def num_under_way(self) -> int:
        """Trials of a search that may be under way at this moment.

        As many as the nodes can run; or as many as the user says, since a cluster may grow with what waits for it.
        """
        return self.resources.max_concurrent or self.num_slots()

    def check_memory(self, trials: Sequence[PlannedTrial], peaks: Mapping[str, Mapping[Case, int]]) -> None:
        """Refuse shares of a GPU that are known to be too small.

        Args:
            peaks: device -> case -> bytes that it took there.

        Raises:
            UserError: a trial would run out of memory.
        """
        given = [(trial, share) for trial in trials if 0 < (share := self.share(trial)).gpus < 1]
        if given and any(peaks.values()):
            share = given[0][1]
            look = ray.remote(gpu_memory).options(num_cpus=share.cpus, num_gpus=share.gpus)
            name, gpu_bytes = ray.get(look.remote())
            if gpu_bytes:  # else the trials themselves say that torch finds no GPU
                check_memory(self.resources.rule, given, peaks.get(name, {}), gpu_bytes)


@contextlib.contextmanager
def connected(
    resources: Resources, trials: Sequence[PlannedTrial], data_bytes: int, image_size: int
) -> Iterator[Cluster]:
    """Start Ray on this machine, or join a cluster; at the end leave nothing behind.

    Args:
        trials: that are to be trained, or the corners of a search.
        data_bytes: size of the data set, which goes into the object store.
        image_size: side of an image in pixels.

    Raises:
        UserError: no cluster at that address, or one that can never run such a trial.
    """
    _clear_scratch_of_the_dead()
    with _scratch() as scratch, _ray_in(scratch, resources, data_bytes):
        yield _able_cluster(resources, trials, scratch, image_size)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of this run's own; another one where a run that starts now looks whether it is a dead one's."""
    with contextlib.ExitStack() as stack:
        while True:
            scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX))
            with contextlib.suppress(LedgerBusyError):
                stack.enter_context(exclusive_lock(scratch / LOCK))
                break
        yield scratch


@contextlib.contextmanager
def _ray_in(scratch: Path, resources: Resources, data_bytes: int) -> Iterator[None]:
    try:
        _ship_source(scratch / "code")
        _init(resources, scratch, data_bytes)
        yield
    finally:
        logging.disable(logging.ERROR)  # what Ray says while it goes down concerns nobody
        ray.shutdown()
        logging.disable(logging.NOTSET)
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepContext:
    """What all trials of a run share."""

    cluster: Cluster
    data: ImageData
    trials_folder: Path | RemoteFolder
    """Folder of the trials' ledgers; absolute."""
    sweep: str
    """Name of the sweep, which goes into the ledgers."""
    run_id: str
    stop: "StopRequest"
    """Asked at every step whether a signal has come."""
    tracker: str | None = None
    """`mlflow` or `wandb`, to show the trials there too."""


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
        KeyboardInterrupt: a signal has come; the ledgers hold what was done.
    """
    carried = {key: dataclasses.asdict(shares[key]) for key in configs}
    param_space = {
        TRIAL_KEY: tune.grid_search(list(configs)),
        SHARE: tune.sample_from(lambda config: carried[config[TRIAL_KEY]]),
    }
    tune_config = tune.TuneConfig(reuse_actors=True, max_concurrent_trials=context.cluster.resources.max_concurrent)
    _fit(context, configs, observers, None, param_space, tune_config)


def run_search(
    context: SweepContext, search: Search, observers: Sequence[Observer], on_decision: Callable[[], None]
) -> None:
    """Train what the search proposes, and stop the trials that it prunes; return when it is over.

    Args:
        on_decision: called when the search has proposed a trial, and when one of its trials has ended.

    Raises:
        UserError: as `run_planned`, or the search's log cannot be written.
        KeyboardInterrupt: a signal has come; the ledgers and the search's log hold what was done.
    """
    steps = _SearchSteps(search, context.cluster.share, observers, on_decision)
    tune_config = tune.TuneConfig(
        reuse_actors=True,
        search_alg=_ProposingSearcher(steps, context.cluster.num_under_way),
        scheduler=_StoppingScheduler(steps),
        num_samples=-1,
    )
    _fit(context, {}, observers, steps, {}, tune_config, keep_final_state=search.settings.scheduler.type == "pbt")


def _fit(
    context: SweepContext,
    configs: Mapping[str, TrainConfig],
    observers: Sequence[Observer],
    steps: "_SearchSteps | None",
    param_space: dict[str, Any],
    tune_config: tune.TuneConfig,
    *,
    keep_final_state: bool = False,
) -> None:
    cluster, folder = context.cluster, context.trials_folder
    run = RunInfo(
        context.run_id,
        cluster.usual_share.num_threads,
        provenance.code_identity(),
        cluster.execution,
        context.sweep,
        keep_final_state=keep_final_state,
        keep_output=True,
    )
    with contextlib.ExitStack() as stack:
        trackers = []
        if context.tracker is not None:
            trackers = [stack.enter_context(contextlib.closing(Tracker(context.tracker, context.sweep, configs)))]
        marker = None
        if cluster.resources.is_joined and isinstance(folder, Path):
            marker = stack.enter_context(_seen_by_all(folder, context.sweep, context.run_id))
        setup = TrialSetup(
            configs=dict(configs),
            trials_folder=folder,
            run=run,
            source_hash=provenance.source_hash(),
            marker=marker,
        )
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(TrainingTrainable, sweep=setup, data=context.data),
                placement,
            ),
            param_space=param_space,
            tune_config=tune_config,
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=tempfile.mkdtemp(prefix="tune-", dir=cluster.scratch),
                verbose=0,
                progress_reporter=tune.CLIReporter(),  # the one for notebooks clears what we have printed
                callbacks=[*trackers, _ObserverCallback(observers, setup, context.stop, steps)],
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        context.stop.raise_if_requested()
        tuner.fit()


@contextlib.contextmanager
def _seen_by_all(trials_folder: Path, sweep: str, run_id: str) -> Iterator[Path]:
    """A file beside the ledgers that every node was found to see; the trials' processes look for it, too.

    Raises:
        UserError: a node does not see it.
    """
    marker = trials_folder / f"{MARKER_PREFIX}{sweep}"
    trials_folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(run_id)
    try:
        look = ray.remote(sees)
        asked = {
            look.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(marker, run_id): node
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] != ray.get_runtime_context().get_node_id()
        }
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS) if asked else ([], [])
        for answer in answered:
            with contextlib.suppress(ray.exceptions.RayError):  # a node that goes now runs no trial either
                if not ray.get(answer):
                    node = asked[answer]["NodeManagerAddress"]
                    raise UserError(
                        f"the node {node} does not see the store's {trials_folder}: give --store s3://BUCKET/PREFIX, "
                        "or a folder that all nodes share"
                    )
        yield marker
    finally:
        marker.unlink(missing_ok=True)


class _SearchSteps:
    """The search, as Tune's two plug-ins below use it.

    Tune takes an exception inside a plug-in for the failure of a trial, so one that concerns the search is kept
    until the end of a step of Tune's loop.
    """

    def __init__(
        self,
        search: Search,
        share: Callable[[PlannedTrial], Share],
        observers: Sequence[Observer],
        on_decision: Callable[[], None],
    ) -> None:
        self._search = search
        self._share = share
        self._observers = observers
        self._on_decision = on_decision
        self._trouble: Exception | None = None
        self.stopped: set[str] = set()
        """Keys of the trials that were stopped in this run."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles the Tuner for a restore that never comes; a search holds an open file."""
        return {}

    def propose(self) -> dict[str, Any] | None:
        """What Tune is to carry of the next trial; None where there is none now."""
        if self._trouble is not None:
            return None
        with self._kept():
            proposal = self._search.next()
            self._on_decision()
            if proposal is not None:
                config = proposal.trial.config
                for observer in self._observers:
                    observer.on_trial_added(proposal.trial)
                ancestors = [one.to_dict() for one in proposal.ancestors]
                share = dataclasses.asdict(self._share(proposal.trial))
                return {TRIAL_KEY: config.trial_key, CONFIG: config.to_dict(), ANCESTORS: ancestors, SHARE: share}
        return None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be proposed."""
        return self._trouble is not None or self._search.is_over

    def report(self, trial_key: str, progress: Progress) -> bool:
        """Whether the trial is to be stopped."""
        if self._trouble is not None:
            return True
        with self._kept():
            stop = progress.record is not None and self._search.report(trial_key, progress.record)
            if progress.is_on_record:
                self._search.end(trial_key, progress.status)
            elif progress.ended:
                self._search.abandon(trial_key)
            if stop:
                self.stopped.add(trial_key)
            if progress.ended or stop:
                self._on_decision()
            return stop
        return True

    def fail(self, trial_key: str, *, is_recorded: bool) -> None:
        """The search learns from a failure that is on record, and does not try it again in this run."""
        if self._trouble is None:
            with self._kept():
                if is_recorded:
                    self._search.end(trial_key, Status.FAILED)
                else:
                    self._search.abandon(trial_key)
                self._on_decision()

    def raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._trouble = self._trouble or error


class _ProposingSearcher(Searcher):  # type: ignore[misc] # Ray's class is untyped here
    """Asks the search. What comes of a trial the search is told by the scheduler, which hears it first.

    Not before a trial can begin, since what is proposed earlier knows less than it could; nodes that join count.
    """

    def __init__(self, steps: _SearchSteps, most: Callable[[], int]) -> None:
        """
        Args:
            most: trials that may be under way now.
        """
        super().__init__()
        self._steps = steps
        self._look = most
        self._most, self._looked_at = 0, -math.inf
        self._under_way: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles the Tuner for a restore that never comes."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """None while others have to end first: Tune asks again."""
        now = time.monotonic()
        if now - self._looked_at > NODE_POLL_SECONDS:
            self._most, self._looked_at = self._look(), now
        if len(self._under_way) >= self._most and not self._steps.is_over:
            return None
        proposed = self._steps.propose()
        if proposed is not None:
            self._under_way.add(trial_id)
        return Searcher.FINISHED if proposed is None and self._steps.is_over else proposed

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._under_way.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Tune's own restore is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune's own restore is not used."""


class _StoppingScheduler(FIFOScheduler):  # type: ignore[misc] # Ray's class is untyped here
    """Begins trials as they are proposed, and stops those that the search says."""

    def __init__(self, steps: _SearchSteps) -> None:
        super().__init__()
        self._steps = steps

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        stop = self._steps.report(trial.config[TRIAL_KEY], from_report(result))
        return str(self.STOP if stop else self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:  # noqa: ANN401
        """Its last epoch Tune tells only here."""
        progress = from_report(result)
        if progress.ended:
            self._steps.report(trial.config[TRIAL_KEY], progress)


class StopRequest:
    """Turns the first SIGINT (Ctrl-C), SIGTERM or SIGHUP into KeyboardInterrupt where it is asked.

    While the trials are trained that is at the end of a step of Tune's loop, ten a second at least. Raised wherever
    the signal happens to arrive it can be swallowed, by Ray or by a C library's callback, and the sweep would run on.
    A second signal raises at once.
    """

    def __init__(self) -> None:
        self._requested = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Inside, signals are requests."""
        if threading.current_thread() is not threading.main_thread():
            yield  # handlers belong to the main thread
            return
        before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def raise_if_requested(self) -> None:
        if self._requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        self.raise_if_requested()
        self._requested = True


class _ObserverCallback(tune.Callback):  # type: ignore[misc] # Ray's class is untyped here
    """Tells the observers what Tune tells us."""

    def __init__(
        self, observers: Sequence[Observer], setup: TrialSetup, stop: StopRequest, steps: _SearchSteps | None
    ) -> None:
        self._observers = observers
        self._setup = setup
        self._stop = stop
        self._steps = steps

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles the Tuner for a restore that never comes; observers hold terminals and locks."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: object) -> None:
        for observer in self._observers:
            observer.on_tick()
        if self._steps is not None:
            self._steps.raise_trouble()
        self._stop.raise_if_requested()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        for observer in self._observers:
            observer.on_trial_start(trial.config[TRIAL_KEY])

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,  # noqa: ANN401
        result: Mapping[str, Any],
        **info: object,
    ) -> None:
        key = trial.config[TRIAL_KEY]
        progress = from_report(result)
        if progress.record is not None and not progress.replayed:
            trial.run_metadata.num_failures = 0  # what comes forward is not given up, as often as its nodes may go
        if self._steps is not None and key in self._steps.stopped:
            progress = dataclasses.replace(progress, status=Status.STOPPED)
        for observer in self._observers:
            observer.on_progress(key, progress)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        """The process died, or could not be set up, more often than is tried again."""
        key = trial.config[TRIAL_KEY]
        error = _reason(trial)
        config = config_of(trial.config, self._setup.configs)
        folder, details = self._setup.trials_folder / key, _details(trial)
        share = share_of(trial.config)
        run = dataclasses.replace(self._setup.run, num_threads=share.num_threads, gpus=share.gpus)
        is_recorded = record_failure(folder, config, run, error, details)
        if self._steps is not None:
            self._steps.fail(key, is_recorded=is_recorded)
        for observer in self._observers:
            observer.on_progress(key, Progress(None, Status.FAILED, replayed=False, error=error))


def _reason(trial: Any) -> str:  # noqa: ANN401
    """The last line of what Ray says of a trial's end; our own words where its process was killed."""
    error = _told_by_ray(trial).rpartition(FAILURE)[2]
    lines = [line for line in error.splitlines() if line.strip()]
    if not lines or "worker process has died" in error:
        return PROCESS_DIED
    return lines[-1].strip()


def _details(trial: Any) -> str:  # noqa: ANN401
    """All that Ray says of its failures, as lines for its log."""
    return f"told by Ray, in the driver:\n{_told_by_ray(trial).strip() or PROCESS_DIED}\n"


def _told_by_ray(trial: Any) -> str:  # noqa: ANN401
    """From Tune's file on this machine: what `get_error` reads is copied later than we are told of the failure."""
    try:
        return ANSI_STYLE.sub("", Path(trial.error_file).read_text(errors="replace"))
    except (OSError, TypeError):  # TypeError: there is no such file
        return ""


def _clear_scratch_of_the_dead() -> None:
    """Remove what runs that were killed left in the temporary folder: nobody holds their lock any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"):
        if (folder / LOCK).exists() and not is_locked(folder / LOCK):
            shutil.rmtree(folder, ignore_errors=True)


def _ship_source(folder: Path) -> None:
    """Copy what workers import, so that it is frozen for the sweep and found before any other `models`."""
    for package in SHIPPED_PACKAGES:
        shutil.copytree(
            provenance.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )


def _init(resources: Resources, scratch: Path, data_bytes: int) -> None:
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        "runtime_env": {"working_dir": str(scratch / "code")},
    }
    if not resources.is_joined:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "_temp_dir": str(scratch / "ray"),
            "object_store_memory": 2 * data_bytes + OBJECT_STORE_SPARE_BYTES,
        }
    else:
        _probe(str(resources.address))
        options["address"] = resources.address
    # Without a cluster every port is on 127.0.0.1: whoever reaches a port of Ray's can run code here.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = resources.is_joined
    ray._private.worker.print_to_stdstream = lambda *lines, **options: None  # what the raylet says of dead workers
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is reported by us
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        where = f"a Ray cluster at --address {resources.address}" if resources.is_joined else "Ray on this machine"
        raise UserError(f"cannot reach {where}: {reason}") from None


def _probe(address: str) -> None:
    """Find out in seconds, and without Ray's own many lines, that nobody listens at `host:port`.

    Raises:
        UserError: nobody does, or it is Ray Client's.
    """
    if address.startswith(CLIENT_SCHEME):
        raise UserError(
            f"--address {address}: the driver has to be on a node of the cluster: "
            "ray job submit --address http://HEAD:8265 --working-dir . -- python tune_main.py run ..."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or a form that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot reach a Ray cluster at --address {address}: {error}") from None


def _able_cluster(resources: Resources, trials: Sequence[PlannedTrial], scratch: Path, image_size: int) -> Cluster:
    """Refuse now what would otherwise wait for ever."""
    _wait_for_nodes(resources.min_nodes)
    nodes, rule = _nodes(), resources.rule
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    default_gpus = 1.0 if most_gpus else 0.0
    given = [(trial, rule.share(trial, default_gpus)) for trial in trials]
    check_possible(rule, given, nodes)
    measured: dict[Case, float] = {}
    if rule.is_auto and most_gpus:
        measured = _measured_shares(given, image_size)
        given = [(trial, rule.share(trial, default_gpus, measured)) for trial in trials]
    if resources.execution.compile and not any(share.gpus for _, share in given):
        raise UserError(COMPILE_NEEDS_GPU)
    return Cluster(scratch, resources, default_gpus, measured, [share for _, share in given])


def _nodes() -> list[Node]:
    """Those that live."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(one.get("CPU", 0.0), one.get("GPU", 0.0)) for one in alive]


def _wait_for_nodes(count: int) -> None:
    if len(_nodes()) < count:
        print(f"waiting for {count} nodes, {len(_nodes())} there ...", flush=True)
    while len(_nodes()) < count:
        time.sleep(NODE_POLL_SECONDS)


def _measured_shares(given: Given, image_size: int) -> dict[Case, float]:
    """Case -> share of a GPU, by trainings on one GPU of the cluster.

    Raises:
        UserError: a configuration does not fit a whole GPU.
    """
    cpus = max(share.cpus for _, share in given)
    num_threads = max(share.num_threads for _, share in given)
    cases = sorted({case_of(trial.config) for trial, _ in given})
    print(f"measuring how many trials share a GPU: {counted(len(cases), 'configuration')} ...", flush=True)
    found = choose_shares(cases, lambda count: _gpu_crew(count, cpus, num_threads, image_size))
    for (model, batch_size, precision), (share, rate) in found.items():
        print(
            f"  {model}, batch size {batch_size}, {precision}: gpus {share:g}, {rate:,.0f} images/s a GPU", flush=True
        )
    return {case: share for case, (share, _) in found.items()}


class _GpuCrew:
    """Processes that share one GPU."""

    def __init__(self, probes: Sequence[Any]) -> None:
        self._probes = probes

    def needs(self, case: Case) -> Needs:
        """Of one of them."""
        needs: Needs = ray.get(self._probes[0].prepare.remote(case))
        return needs

    def rate(self, case: Case) -> float:
        """Images a second of all together; the first is prepared."""
        ray.get([probe.prepare.remote(case) for probe in self._probes[1:]])
        return float(sum(ray.get([probe.measure.remote(MEASURE_SECONDS) for probe in self._probes])))


@contextlib.contextmanager
def _gpu_crew(count: int, cpus: float, num_threads: int, image_size: int) -> Iterator[_GpuCrew | None]:
    """So many processes on one GPU; None where the node has no processors for them."""
    if not any(node.gpus and node.cpus >= count * cpus for node in _nodes()):
        yield None
        return
    group = placement_group([{"CPU": count * cpus, "GPU": 1.0}])
    actor = ray.remote(GpuProbe)
    probes = []
    try:
        for _ in range(count):
            where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
            options = actor.options(num_cpus=cpus, num_gpus=1 / count, scheduling_strategy=where)
            probes.append(options.remote(num_threads, image_size))
        yield _GpuCrew(probes)
    except ray.exceptions.RayTaskError as error:
        raise UserError(f"gpus: auto: {one_line(error.cause or error)}") from None
    finally:
        for probe in probes:
            ray.kill(probe)
        remove_placement_group(group)
