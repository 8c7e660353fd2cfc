"""A sweep that is killed again and again: `python benchmarks/kill_rounds.py --rounds 20`.

Each round lets the sweep work for a random (seeded) time, then sends SIGKILL to the driver, to one worker, or to the
driver with Ray and all workers; then the same command resumes the sweep, until it is finished. Half-way the store
moves to another path. The trials' folders right after a kill are compared with what they hold after the next one: a
finished trial must not have changed by a byte, and neither must the epochs up to a trial's last checkpoint. At the
end both Parquet files must equal those of an uninterrupted run, except for clocks and attempts.

With `--search` the sweep is an adaptive search, killed after a random number of events in its log. A trial that was
stopped early counts as finished, and at the end everything that benchmarks/kept_search.py checks must hold. With one
trial at a time (`--max-concurrent 1`) its log must also equal that of an uninterrupted run byte for byte; with more
the order in which trials report decides what is proposed.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pyarrow.parquet as pq

from benchmarks import kept_search
from benchmarks.harness import option_parser, write_report
from benchmarks.processes import family, kill, trial_workers
from results.store.search_log import SEARCH_LOG, read_log
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
search: {{algorithm: tpe, num_trials: 18}}
parameters:
  base_lr: {{min: 0.01, max: 3.2, distribution: log_uniform_values}}
  batch_size: {{values: [32, 64]}}
derive: {{lr: base_lr * batch_size / 128}}
scheduler: {{type: asha, grace_epochs: 3, reduction_factor: 3}}
confirm: {{top: 1, repeats: 2}}
"""
"""A search with more trials than the ten that TPE draws at random."""
EPOCHS_A_TRIAL = {False: 60, True: 27}
"""Whether it is a search -> epochs of each trial."""
DRIVER, WORKER, EVERYTHING = "driver", "one worker", "driver, Ray and workers"
KINDS = (DRIVER, WORKER, EVERYTHING)
MAX_WORKER_KILLS = 2
"""Most workers killed under one driver: a trial whose process dies more often fails, as it should."""
CLOCKS = (
    *("train_seconds", "eval_seconds", "total_seconds", "images_per_second", "peak_memory_bytes"),
    *("attempts", "attempt", "start_time", "end_time"),
)
"""Columns in which an interrupted sweep may differ from an uninterrupted one."""
STALL_SECONDS = 120.0
MOST_SECONDS_AFTER_EVENT = 0.5
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


class Sweep:
    """The command that is repeated, and the store that it works on."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.store = folder / "store"
        self.space = folder / f"{NAME}.yaml"
        self.space.write_text(SEARCH if plan.search else SPACE)
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
            for proposal in read_log(self.log).proposals
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
            driver, lambda: self._sweep.num_events() >= wanted or bool(read_log(self._sweep.log).confirmations)
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


def main() -> None:
    parser = option_parser(__doc__, rounds=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of each trial")
    parser.add_argument("--search", action="store_true", help="an adaptive search (TPE and ASHA) instead of a grid")
    parser.add_argument("--max-concurrent", type=int, default=Plan(0).max_concurrent, help="trials at a time")
    arguments = parser.parse_args()
    plan = Plan(
        arguments.rounds,
        arguments.seed,
        arguments.epochs or EPOCHS_A_TRIAL[arguments.search],
        search=arguments.search,
        max_concurrent=arguments.max_concurrent,
    )
    folder = Path(tempfile.mkdtemp(prefix="k"))
    try:
        outcome = run_rounds(plan, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for number, kill_round in enumerate(outcome.rounds, 1):
        when = "while it started" if kill_round.while_starting else "at work"
        print(
            f"{number:2}: killed {kill_round.killed} after {kill_round.seconds:.1f} s {when}: "
            f"{kill_round.trials_finished} trials finished, {kill_round.epochs_recorded} epochs recorded, "
            f"{kill_round.epochs_lost} trained again"
        )
    print(
        f"{len(outcome.rounds)} kills in {outcome.wall_seconds:.0f} s; {len(outcome.violations)} violations, "
        + f"{len(outcome.differences)} differences from the uninterrupted run, " * plan.is_comparable
        + f"{len(outcome.left_behind)} left behind"
    )
    for line in (*outcome.violations, *outcome.differences, *outcome.left_behind):
        print(line)
    command, name = f"python benchmarks/kill_rounds.py --rounds {plan.rounds}", "kill_rounds"
    if plan.search:
        command += f" --seed {plan.seed} --search --max-concurrent {plan.max_concurrent}"
        name += f"_search_{plan.max_concurrent}"
    print(write_report(name, command, {"plan": asdict(plan), **asdict(outcome)}, arguments.to))


if __name__ == "__main__":
    main()
