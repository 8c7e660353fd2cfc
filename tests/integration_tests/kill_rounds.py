"""A sweep that is killed again and again.

Each round lets the sweep work for a random (seeded) time, then sends SIGKILL to the driver, to one worker, or to the
driver with Ray and all workers; then the same command resumes the sweep, until it is finished. Half-way the store
moves to another path. The trials' folders right after a kill are compared with what they hold after the next one: a
finished trial must not have changed by a byte, and neither must the epochs up to a trial's last checkpoint. At the
end both Parquet files must equal those of an uninterrupted run, except for clocks and attempts.

With `--search` the sweep is an adaptive search, killed after a random number of events in its log. A trial that was
stopped early counts as finished, and at the end everything that kept_search.py checks must hold. With one
trial at a time (`--max-concurrent 1`) its log must also equal that of an uninterrupted run byte for byte; with more
the order in which trials report decides what is proposed.
"""

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from results.store.journal import LocalJournal
from results.store.search_log import read_log
from tests.integration_tests import kept_search
from tests.integration_tests.killed_sweep import Plan, Sweep, TrialState, differences, left_behind, violations
from tests.integration_tests.processes import family, kill, trial_workers

DRIVER, WORKER, EVERYTHING = "driver", "one worker", "driver, Ray and workers"
KINDS = (DRIVER, WORKER, EVERYTHING)
MAX_WORKER_KILLS = 2
"""Most workers killed under one driver: a trial whose process dies more often fails, as it should."""
STALL_SECONDS = 120.0
MOST_SECONDS_AFTER_EVENT = 0.5


@dataclass(frozen=True, slots=True)
class Round:
    """One kill and what it cost."""

    killed: str
    seconds: float
    """Time from the first sign of work, or from the driver's start, to the kill."""
    while_starting: bool
    trials_finished: int
    epochs_recorded: int
    epochs_lost: int
    """Epochs after the last checkpoint before the previous kill, which were trained again until this one."""


@dataclass(slots=True)
class Outcome:
    """The results of all rounds."""

    rounds: list[Round] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """Differences between the final Parquet files and those of the uninterrupted run."""
    left_behind: list[str] = field(default_factory=list)
    """Half-written files, scratch folders and processes."""
    wall_seconds: float = 0.0


class Killer:
    """Starts the sweep, kills it, and keeps what it saw."""

    def __init__(self, plan: Plan, sweep: Sweep) -> None:
        self._plan = plan
        self._sweep = sweep
        self._choice = random.Random(plan.seed)  # noqa: S311
        self._driver: subprocess.Popen[bytes] | None = None
        self._worker_kills = 0
        self._states: dict[str, TrialState] = {}
        self.outcome = Outcome()

    def round(self) -> bool:
        """Kill once; return False where the sweep was finished before."""
        plan, choice = self._plan, self._choice
        early = self._driver is None and choice.random() < plan.early_share
        may_kill_worker = not early and self._worker_kills < MAX_WORKER_KILLS
        kind = choice.choice([kind for kind in KINDS if kind != WORKER or may_kill_worker])
        usual = (0.0, MOST_SECONDS_AFTER_EVENT) if plan.search else (plan.least_seconds, plan.most_seconds)
        seconds = choice.uniform(*((0.0, plan.most_start_seconds) if early else usual))
        driver = self._driver = self._driver or self._sweep.start()
        if not early:
            started = self._wait_for_work(driver)
            if plan.search:
                self._wait_for_events(driver, choice.randint(0, plan.most_events))
            time.sleep(seconds)
            seconds = time.monotonic() - started
        else:
            time.sleep(seconds)
        if driver.poll() is not None:
            return False
        workers = trial_workers(driver.pid) if kind == WORKER else []
        if workers:
            kill([choice.choice(workers)])
            self._worker_kills += 1
        else:
            kill(list(family(driver.pid)) if kind == EVERYTHING else [driver.pid])
            driver.wait()
            self._driver, self._worker_kills = None, 0
        before = self._look()
        self.outcome.rounds.append(
            _round(kind if workers or kind != WORKER else DRIVER, seconds, early, before, self._states)
        )
        return True

    def finish(self) -> None:
        """Let the sweep finish."""
        driver, self._driver = self._driver, None
        self._sweep.finish(driver)
        self._look()

    def move(self) -> None:
        """Move the store to another path, unless a driver is at work."""
        if self._driver is None:
            self._sweep.store = self._sweep.store.rename(self._sweep.folder / "moved")

    def close(self) -> None:
        """Kill what is still at work."""
        if self._driver is not None:
            kill(list(family(self._driver.pid)))
            self._driver.wait()

    def _look(self) -> dict[str, TrialState]:
        """Compare the trials with their previous states, and return those."""
        before, self._states = self._states, self._sweep.states()
        self.outcome.violations += violations(before, self._states)
        return before

    def _wait_for_events(self, driver: subprocess.Popen[bytes], count: int) -> None:
        """Wait until the search's log has grown by `count` events, or its confirmations have begun."""
        wanted = self._sweep.num_events() + count
        self._wait(
            driver,
            lambda: self._sweep.num_events() >= wanted or bool(read_log(LocalJournal(self._sweep.log)).confirmations),
        )

    def _wait_for_work(self, driver: subprocess.Popen[bytes]) -> float:
        """Wait until a process has begun to work on a trial since the last kill; return that time."""
        known = _num_attempts(self._states)
        self._wait(driver, lambda: _num_attempts(self._sweep.states()) > known)
        return time.monotonic()

    def _wait(self, driver: subprocess.Popen[bytes], has_happened: Callable[[], bool]) -> None:
        """Wait until something has happened or the sweep is finished.

        Raises:
            SystemExit: There is no progress.
        """
        deadline = time.monotonic() + STALL_SECONDS
        while driver.poll() is None and not has_happened():
            if time.monotonic() > deadline:
                raise SystemExit(f"no progress in {STALL_SECONDS:g} s: {self._sweep.output}")
            time.sleep(0.05)


def run_rounds(plan: Plan, folder: Path) -> Outcome:
    """Kill a sweep again and again, let it finish, and compare it with an uninterrupted one.

    Args:
        folder: An empty folder with a short path: Ray's sockets lie below it.

    Raises:
        SystemExit: The sweep stalls or fails.
    """
    started = time.monotonic()
    whole = Sweep(folder / "w", plan)
    if plan.is_comparable:
        whole.finish(None)
    sweep = Sweep(folder / "k", plan)
    killer = Killer(plan, sweep)
    try:
        while len(killer.outcome.rounds) < plan.rounds and killer.round():
            if len(killer.outcome.rounds) >= plan.rounds / 2 and not (sweep.folder / "moved").exists():
                killer.move()
        killer.finish()
    finally:
        killer.close()
    outcome = killer.outcome
    if plan.is_comparable:
        outcome.differences = list(differences(whole.rows(), sweep.rows()))
    if plan.search:
        outcome.violations += kept_search.problems(sweep.store, sweep.space, {"epochs": plan.epochs})
        if plan.is_comparable and sweep.log.read_bytes() != whole.log.read_bytes():
            outcome.differences.append("the log of the search differs")
    outcome.left_behind = left_behind(sweep)
    outcome.wall_seconds = time.monotonic() - started
    return outcome


def _num_attempts(states: dict[str, TrialState]) -> int:
    return sum(len(state.attempts) for state in states.values())


def _round(
    kind: str, seconds: float, early: bool, before: dict[str, TrialState], after: dict[str, TrialState]
) -> Round:
    return Round(
        killed=kind,
        seconds=seconds,
        while_starting=early,
        trials_finished=sum(state.end is not None for state in after.values()),
        epochs_recorded=sum(len(state.epochs) for state in after.values()),
        epochs_lost=sum(len(set(old.epochs) - set(after[key].epochs)) for key, old in before.items() if key in after),
    )
