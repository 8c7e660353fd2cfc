"""What a user asks for when a sweep is run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

LOCAL = "local"
"""The address that means: start Ray on this machine."""
STOPPING_SECONDS = 30.0
"""Time kept for a stop: Tune gives trials ten seconds to write their checkpoints, then tables are written."""


class StopCause(Enum):
    """Why a run stops before its end. The value says so after the word `stopped`."""

    SIGNAL = ""
    TIME_LIMIT = " at the time limit"
    FAILURE = " at the first failed trial"


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """The time that a run may take, counted from the moment at which this object is made."""

    seconds: float
    started: float = field(default_factory=time.monotonic)
    """Reading of `time.monotonic`."""

    @property
    def stop_at(self) -> float:
        """Reading of `time.monotonic` at which trials are told to stop: at half of a short limit."""
        return self.started + self.seconds - min(STOPPING_SECONDS, self.seconds / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRequest:
    """A space, and what the command line changes of its trials."""

    space: str
    """Name of a shipped space, or path of a YAML file."""
    overrides: Sequence[str] = ()
    """`key=value` of each --set."""
    scale: str | None = None
    """Name of one of the space's scales; None runs its full size."""
    name: str | None = None
    """Name of the sweep; None takes the space's name."""
    data: Path | None = None
    """Folder of the data set; None takes the built-in data set that the space names."""
    label: str | None = None
    """Which labels of that data set are the classes; None takes the usual ones."""
    cpus_per_trial: float | None = None
    """CPUs of each trial; None takes the space's `resources`."""
    gpus_per_trial: float | str | None = None
    """GPUs of each trial, or `auto`; None takes the space's `resources`."""
    extend: bool = False
    """Whether the sweep keeps its old trials beside those of the space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(SpaceRequest):
    """Everything that `run` was asked for."""

    store: str = "runs"
    """A folder, or a URI such as s3://bucket/prefix."""
    retrain: bool = False
    """Whether finished trials are trained again, their old results being superseded."""
    address: str | None = None
    """Address of a Ray cluster; None and `local` start Ray on this machine."""
    min_nodes: int = 1
    """Number of nodes of the cluster to wait for."""
    max_concurrent: int | None = None
    """Most trials that run at the same time; None allows as many as fit."""
    compile: bool = False
    """Whether the model is compiled."""
    tracker: str | None = None
    """`mlflow` or `wandb`, to show the trials there, too."""
    time_limit: TimeLimit | None = None
    """Time after which the run has stopped; None lets it run to its end."""
    fail_fast: bool = False
    """Whether the first trial that fails ends the run."""

    @property
    def is_joined(self) -> bool:
        """Whether Ray runs already, on a cluster that this run joins."""
        return self.address not in (None, LOCAL)
