"""A sweep's trials on Ray Tune: the only module of this package that knows Ray.

Tune schedules and nothing else: its experiment folder is scratch, its loggers, checkpoints and restore are
off. What a trial did lies in its ledger (see trainable.ledger), and every run starts a Tuner anew.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from search_spaces.search import Search
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.execution import COMPILE_NEEDS_GPU, DEFAULT_EXECUTION, Execution
from trainable.ledger import LOCK, LedgerBusyError, exclusive_lock, is_locked

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_AUTH_MODE": "disabled",  # else a token is written into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches us as KeyboardInterrupt
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
SHIPPED_PACKAGES = ("models", "trainable")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROBE_SECONDS = 5.0
SCRATCH_PREFIX = "batchscape-"
WORKER_DEATHS = 2
"""How often a trial is tried again after its process died."""
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

from search_spaces.tune_loggers import Tracker  # noqa: E402
from trainable.records import Progress, Status  # noqa: E402
from trainable.remote_ledger import RemoteFolder  # noqa: E402
from trainable.session import RunInfo, record_failure  # noqa: E402
from trainable.tune_adapter import (  # noqa: E402
    ANCESTORS,
    CONFIG,
    TRIAL_KEY,
    TrainingTrainable,
    TrialSetup,
    config_of,
    from_report,
)

# Tune would put them into every trial's runtime environment, which Ray writes into its logs on every node.
ENV_VARS_TO_PROPAGATE.difference_update([name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")])


@dataclass(frozen=True, slots=True)
class Resources:
    """What `run` was told of the machine."""

    address: str | None = None
    """Of a running Ray cluster; None starts Ray here for this run."""
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    """None is one GPU where the cluster has any, else none."""
    max_concurrent: int | None = None
    execution: Execution = DEFAULT_EXECUTION


class Observer(Protocol):
    """Whoever watches a sweep; called in the driver's process, between two events of Tune."""

    def on_trial_added(self, trial: PlannedTrial) -> None:
        """A search has proposed it."""

    def on_trial_start(self, trial_key: str) -> None: ...

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        """An epoch was replayed or trained, or the trial has ended, or both."""

    def on_tick(self) -> None:
        """Some time has passed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to Ray that was found able to run the trials."""

    scratch: Path
    cpus_per_trial: float
    gpus_per_trial: float
    max_concurrent: int | None
    num_slots: int
    """Trials that the cluster can run at a time."""
    execution: Execution

    @property
    def num_threads(self) -> int:
        return max(1, math.floor(self.cpus_per_trial))


@contextlib.contextmanager
def connected(resources: Resources, data_bytes: int) -> Iterator[Cluster]:
    """Start Ray on this machine, or join a cluster; at the end leave nothing behind.

    Args:
        data_bytes: size of the data set, which goes into the object store.

    Raises:
        UserError: no cluster at that address, or one that can never run such a trial.
    """
    _clear_scratch_of_the_dead()
    with _scratch() as scratch, _ray_in(scratch, resources, data_bytes) as cluster:
        yield cluster


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
def _ray_in(scratch: Path, resources: Resources, data_bytes: int) -> Iterator[Cluster]:
    try:
        _ship_source(scratch / "code")
        _init(resources, scratch, data_bytes)
        yield _check_resources(resources, scratch)
    finally:
        logging.disable(logging.ERROR)  # what Ray says while it goes down concerns nobody
        ray.shutdown()
        logging.disable(logging.NOTSET)
        shutil.rmtree(scratch, ignore_errors=True)


def run_trials(
    cluster: Cluster,
    data: ImageData,
    trials_folder: Path | RemoteFolder,
    sweep: str,
    run_id: str,
    configs: Mapping[str, TrainConfig],
    observers: Sequence[Observer],
    stop: "StopRequest",
    log: str | None = None,
    search: Search | None = None,
    on_decision: Callable[[], None] = lambda: None,
) -> None:
    """Train these trials; returns when each has ended. A failed trial is recorded and does not end the sweep.

    Args:
        trials_folder: absolute.
        sweep: name of the sweep, which goes into the trials' ledgers.
        configs: trial key -> configuration, in the order in which they are to be begun.
        stop: asked again and again whether a signal has come.
        search: proposes the trials, in place of `configs`, and says which are stopped.
        on_decision: called when the search has proposed a trial, and when one of its trials has ended.
        log: mlflow or wandb, to show the trials there too.

    Raises:
        UserError: what `log` names cannot be reached.
        KeyboardInterrupt: a signal has come; what was done lies in the ledgers.
    """
    is_population = search is not None and search.settings.scheduler.type == "pbt"
    run = RunInfo(
        run_id,
        cluster.num_threads,
        provenance.code_identity(),
        cluster.execution,
        sweep,
        keep_final_state=is_population,
        keep_output=True,
    )
    setup = TrialSetup(
        configs=dict(configs),
        trials_folder=trials_folder,
        run=run,
        source_hash=provenance.source_hash(),
        use_gpu=cluster.gpus_per_trial > 0,
    )
    steps = None if search is None else _SearchSteps(search, observers, on_decision)
    trackers = [] if log is None else [Tracker(log, sweep, configs)]
    with contextlib.ExitStack() as stack:
        for tracker in trackers:
            stack.callback(tracker.close)
        trainable = tune.with_resources(
            tune.with_parameters(TrainingTrainable, sweep=setup, data=data),
            {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial},
        )
        tuner = tune.Tuner(
            trainable,
            param_space={TRIAL_KEY: tune.grid_search(list(configs))} if steps is None else {},
            tune_config=_tune_config(cluster, steps),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=tempfile.mkdtemp(prefix="tune-", dir=cluster.scratch),
                verbose=0,
                callbacks=[*trackers, _ObserverCallback(observers, setup, stop, steps)],
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        stop.raise_if_requested()
        tuner.fit()


def _tune_config(cluster: Cluster, steps: "_SearchSteps | None") -> tune.TuneConfig:
    if steps is None:
        return tune.TuneConfig(reuse_actors=True, max_concurrent_trials=cluster.max_concurrent)
    return tune.TuneConfig(
        reuse_actors=True,
        max_concurrent_trials=cluster.num_slots,  # what is proposed before it can begin knows less than it could
        search_alg=_ProposingSearcher(steps),
        scheduler=_StoppingScheduler(steps),
        num_samples=-1,
    )


class _SearchSteps:
    """The search, as Tune's two plug-ins below use it.

    Tune takes an exception inside a plug-in for the failure of a trial, so one that concerns the search is kept
    until the end of a step of Tune's loop.
    """

    def __init__(self, search: Search, observers: Sequence[Observer], on_decision: Callable[[], None]) -> None:
        self._search = search
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
                return {TRIAL_KEY: config.trial_key, CONFIG: config.to_dict(), ANCESTORS: ancestors}
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
    """Asks the search. What comes of a trial the search is told by the scheduler, which hears it first."""

    def __init__(self, steps: _SearchSteps) -> None:
        super().__init__()
        self._steps = steps

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """None while others have to end first: Tune asks again."""
        proposed = self._steps.propose()
        return Searcher.FINISHED if proposed is None and self._steps.is_over else proposed

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to do."""

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
        is_recorded = record_failure(folder, config, self._setup.run, error, details)
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
    if resources.address is None:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "_temp_dir": str(scratch / "ray"),
            "object_store_memory": 2 * data_bytes + OBJECT_STORE_SPARE_BYTES,
        }
    else:
        _probe(resources.address)
        options["address"] = resources.address
    # Without a cluster every port is on 127.0.0.1: whoever reaches a port of Ray's can run code here.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = resources.address is not None
    ray._private.worker.print_to_stdstream = lambda *lines, **options: None  # what the raylet says of dead workers
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is reported by us
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        where = f"a Ray cluster at --address {resources.address}" if resources.address else "Ray on this machine"
        raise UserError(f"cannot reach {where}: {reason}") from None


def _probe(address: str) -> None:
    """Find out in seconds, and without Ray's own many lines, that nobody listens at `host:port`.

    Raises:
        UserError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or a form that Ray knows
    try:
        socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot reach a Ray cluster at --address {address}: {error}") from None


def _check_resources(resources: Resources, scratch: Path) -> Cluster:
    """Refuse now what would otherwise wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most_gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if most_gpus else 0.0
    if gpus > most_gpus:
        found = f"the largest node has {most_gpus:g}" if most_gpus else "no node has one"
        raise UserError(f"--gpus-per-trial {gpus:g}: {found}")
    if resources.cpus_per_trial > most_cpus:
        raise UserError(f"--cpus-per-trial {resources.cpus_per_trial:g}: the largest node has {most_cpus:g}")
    if resources.execution.compile and not gpus:
        raise UserError(COMPILE_NEEDS_GPU)
    slots = sum(
        min(
            int(node.get("CPU", 0.0) / resources.cpus_per_trial),
            int(node.get("GPU", 0.0) / gpus) if gpus else 10**9,
        )
        for node in nodes
    )
    if resources.max_concurrent is not None:
        slots = min(slots, resources.max_concurrent)
    return Cluster(scratch, resources.cpus_per_trial, gpus, resources.max_concurrent, slots, resources.execution)
