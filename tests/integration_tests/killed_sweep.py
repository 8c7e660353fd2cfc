"""A sweep that can be killed, what its store holds at a moment, and what a later moment must not have changed."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from results.store.journal import LocalJournal
from results.store.search_log import SEARCH_LOG, read_log
from tests.conftest import ROOT
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, EPOCHS, RESULT
from trainable.records import Status

NAME = "killed"
SPACE = f"""\
name: {NAME}
defaults: {{model: resnet_preact_8, batch_size: 32, train_subset: 64, test_subset: 20, precision: fp32}}
grid: {{lr: [0.4, 0.2, 0.1, 0.05, 0.025, 0.0125]}}
"""
SEARCH = f"""\
name: {NAME}
defaults: {{model: resnet_preact_8, train_subset: 160, test_subset: 20, precision: fp32}}
search: {{algorithm: ALGORITHM, num_trials: 18}}
parameters:
  base_lr: {{min: 0.01, max: 3.2, distribution: log_uniform_values}}
  batch_size: {{values: [32, 64]}}
derive: {{lr: base_lr * batch_size / 128}}
scheduler: SCHEDULER
confirm: {{top: 1, repeats: 2}}
"""
"""A search with more trials than the ten that TPE draws at random."""
EPOCHS_A_TRIAL = {False: 60, True: 27}
"""Whether it is a search -> epochs of each trial."""


CLOCKS = (
    *("train_seconds", "eval_seconds", "total_seconds", "images_per_second", "peak_memory_bytes"),
    *("attempts", "attempt", "start_time", "end_time"),
)
"""Columns in which an interrupted sweep may differ from an uninterrupted one."""
LINGER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is killed, and when."""

    rounds: int
    seed: int = 0
    epochs: int = EPOCHS_A_TRIAL[False]
    """Epochs of each trial."""
    least_seconds: float = 0.1
    most_seconds: float = 2.8
    """Longest time from the first sign of work in a round to its kill."""
    early_share: float = 0.25
    """Share of the rounds that start a driver and kill it while it starts."""
    most_start_seconds: float = 4.0
    """Longest time from the start of a driver to an early kill."""
    search: bool = False
    """Whether the sweep is an adaptive search instead of a grid."""
    algorithm: str = "tpe"
    """Algorithm of the search."""
    scheduler: str = "asha"
    """Type of the search's scheduler, which has rungs; or `none`."""
    most_events: int = 24
    """Most events of a search's log between the first sign of work and the kill, which comes up to 0.5 s later."""
    max_concurrent: int = 2
    """Number of trials that run at the same time."""

    @property
    def is_comparable(self) -> bool:
        """Whether an uninterrupted run gives the same results."""
        return not self.search or self.max_concurrent == 1


@dataclass(frozen=True, slots=True)
class TrialState:
    """A trial's folder at one moment."""

    attempts: list[bytes]
    epochs: list[bytes]
    end: bytes | None
    """Content of a final `result.json`, STOPPED where the search has stopped the trial early, or None."""
    num_safe: int
    """Number of epochs that no later run may change."""


class Sweep:
    """The command that is repeated, and the store that it works on."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.store = folder / "store"
        self.space = folder / f"{NAME}.yaml"
        keys = "" if plan.scheduler == "none" else ", grace_epochs: 3, reduction_factor: 3"
        search = SEARCH.replace("ALGORITHM", plan.algorithm)
        search = search.replace("SCHEDULER", f"{{type: {plan.scheduler}{keys}}}")
        self.space.write_text(search if plan.search else SPACE)
        self._arguments = ["run", str(self.space), "--set", f"epochs={plan.epochs}"]
        self._arguments += ["--max-concurrent", str(plan.max_concurrent)]
        self._environment = os.environ | {"TMPDIR": str(folder), "BATCHSCAPE_CACHE": str(folder / "cache")}

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "tune_main.py"), *self._arguments, "--store", str(self.store)]
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env=self._environment)

    def finish(self, driver: subprocess.Popen[bytes] | None) -> None:
        """Wait until the command ends; start it where there is none.

        Raises:
            SystemExit: The command failed; with what it said.
        """
        if (driver or self.start()).wait():
            raise SystemExit(self.output)

    @property
    def output(self) -> str:
        """Everything that the command has printed so far."""
        return (self.folder / "output").read_text()

    def states(self) -> dict[str, TrialState]:
        """Return the state of each trial by its key. What makes epochs safe is read before the epochs."""
        stopped = {
            proposal.config.trial_key
            for proposal in read_log(LocalJournal(self.log)).proposals
            if proposal.config is not None and proposal.status is Status.STOPPED
        }
        return {path.name: _state(path, path.name in stopped) for path in sorted(self.store.glob("trials/*"))}

    def num_events(self) -> int:
        """Count the events in the search's log so far."""
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    @property
    def log(self) -> Path:
        """The search's log."""
        return self.store / NAME / SEARCH_LOG

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Read both Parquet files without clocks and attempts."""
        rows = {}
        for kind in ("trials", "epochs"):
            table = pq.read_table(self.store / NAME / f"{kind}.parquet")
            rows[kind] = table.drop_columns([name for name in CLOCKS if name in table.column_names]).to_pylist()
        return rows


def _state(folder: Path, is_stopped: bool) -> TrialState:
    end, num_safe = Status.STOPPED.encode() if is_stopped else None, 0
    with contextlib.suppress(FileNotFoundError):
        content = (folder / RESULT).read_bytes()
        if Status(json.loads(content)["status"]).is_final:
            end = content
    for name in CHECKPOINTS:
        with contextlib.suppress(FileNotFoundError), (folder / name).open("rb") as file:
            num_safe = max(num_safe, json.loads(file.readline())["epochs_done"])
    epochs = _whole_lines(folder / EPOCHS)
    return TrialState(_whole_lines(folder / ATTEMPTS), epochs, end, num_safe if end is None else len(epochs))


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def violations(before: dict[str, TrialState], after: dict[str, TrialState]) -> Iterator[str]:
    """Yield what must not have happened between two moments."""
    for key, old in before.items():
        new = after.get(key)
        if new is None:
            yield f"{key}: its folder is missing"
            continue
        if old.end is not None and (new.end, new.epochs, new.attempts) != (old.end, old.epochs, old.attempts):
            yield f"{key}: was finished and has changed"
        if new.epochs[: old.num_safe] != old.epochs[: old.num_safe]:
            yield f"{key}: epochs up to its checkpoint at {old.num_safe} were trained again"
    for key, new in after.items():
        if (numbers := [json.loads(line)["epoch"] for line in new.epochs]) != list(range(1, len(numbers) + 1)):
            yield f"{key}: its epochs are {numbers}"


def differences(expected: dict[str, list[dict[str, Any]]], found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the differences between the rows of two stores."""
    for name, rows in expected.items():
        if len(found[name]) != len(rows):
            yield f"{len(found[name])} {name} instead of {len(rows)}"
        for theirs, ours in zip(rows, found[name], strict=False):
            if theirs != ours:
                yield f"{name}: {ours} instead of {theirs}"


def left_behind(sweep: Sweep) -> list[str]:
    """List half-written files, scratch folders, and processes that have not ended within LINGER_SECONDS."""
    deadline = time.monotonic() + LINGER_SECONDS
    while True:
        found = [str(path.relative_to(sweep.folder)) for path in sweep.store.rglob(".*")]
        found += [path.name for path in sweep.folder.glob("batchscape-*")]
        listing = subprocess.run(
            ["ps", "-ww", "-e", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
        found += [line for line in listing.splitlines() if str(sweep.folder) in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
