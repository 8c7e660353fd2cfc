"""A search as a user runs it: interrupted, gone on with, grown; what is refused; what every command says meanwhile.

Two starts of Ray, in the first fixture; all else looks at the store that they leave.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tune_main
from benchmarks import kept_search
from benchmarks.finished_sweep import write_finished_trials
from results.store import MANIFEST, Store
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from tests.conftest import ROOT, Cli
from tests.integration_tests.running_sweeps import wait_for_epochs
from trainable.data.digits import load_digits
from trainable.ledger import ATTEMPTS, TENSORBOARD
from trainable.records import Purpose, Status
from trainable.search_log import SEARCH_LOG, SearchEvent, read_log

pytestmark = pytest.mark.ray

NAME = "wide"
SPACE = f"""
name: {NAME}
defaults: {{model: resnet_preact_8, epochs: 9, train_subset: 160, test_subset: 20, precision: fp32}}
search: {{algorithm: tpe, num_trials: 4}}
parameters:
  base_lr: {{min: 0.01, max: 3.2, distribution: log_uniform_values}}
  batch_size: {{values: [16, 32]}}
derive: {{lr: base_lr * batch_size / 128}}
scheduler: {{type: asha, grace_epochs: 2, reduction_factor: 2}}
confirm: {{top: 1, repeats: 1}}
"""
GROWN = SPACE.replace("num_trials: 4", "num_trials: 5")
PLAIN = """
name: plain
defaults: {model: resnet_preact_8, epochs: 1, batch_size: 32}
grid: {lr: [0.05]}
"""
FAILING = 1
"""Number of the proposal that is made to raise."""
COMMANDS = ("status", "table", "report", "export", "plot")


@dataclass(frozen=True)
class Answer:
    """Of a command."""

    exit_status: int
    output: str
    errors: str


@dataclass(frozen=True)
class Searched:
    """A search that was interrupted, and then gone on with as a larger one."""

    folder: Path
    failing: str
    """Key of the trial that raised."""
    interrupted: Answer
    status_while_running: dict[str, object]
    answers_between: dict[str, Answer]
    log_between: bytes
    gone_on: Answer

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def space(self) -> Path:
        return self.folder / f"{NAME}.yaml"


def ask(*arguments: str) -> Answer:
    command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def ask_all(store: Path) -> dict[str, Answer]:
    options = {"plot": ("--figure", "learning_curves")}
    return {name: ask(name, NAME, "--store", str(store), *options.get(name, ())) for name in COMMANDS}


def key_of(space: Path, number: int, folder: Path) -> str:
    """Of the trial that the search proposes as its n-th, while the first are drawn at random."""
    maker = expand(load_space(str(space)), {}, None).search
    assert maker is not None
    data = load_digits()
    search = tune_main.open_search(Store(folder), tune_main.search_settings(NAME, maker, data), maker, data)
    proposals = [search.next() for _ in range(number + 1)]
    assert proposals[-1] is not None
    return proposals[-1].trial.config.trial_key


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    space, store = folder / f"{NAME}.yaml", folder / "store"
    space.write_text(SPACE)
    failing = key_of(space, FAILING, folder / "aside")
    in_the_way = store / "trials" / failing / TENSORBOARD
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where the event files are to lie")
    run = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), "--store", str(store)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        try:
            wait_for_epochs(store, 2)
            status = json.loads(ask("status", NAME, "--json", "--store", str(store)).output)
        finally:
            driver.send_signal(signal.SIGINT)
        output, errors = driver.communicate(timeout=60)
    interrupted = Answer(driver.returncode, output, errors)
    log = Store(store).search_log(NAME).read_bytes()
    between = ask_all(store)
    space.write_text(GROWN)
    gone_on = ask("run", str(space), "--store", str(store))
    return Searched(folder, failing, interrupted, status, between, log, gone_on)


def test_ctrl_c_ends_it_with_one_line(searched: Searched) -> None:
    assert searched.status_while_running["driver_running"]
    assert searched.status_while_running["planned"] == 5  # the confirmation, too
    assert searched.interrupted.exit_status == 130
    assert searched.interrupted.errors.startswith("\nstopped after ")
    assert searched.interrupted.errors.endswith(" trials; the same command goes on from here\n")
    assert searched.interrupted.output.startswith(f"{NAME}: a search of 4 trials on digits, 0 done, 4 to propose\n")


def test_it_goes_on_from_its_log_and_grows(searched: Searched) -> None:
    log = searched.store.search_log(NAME).read_bytes()
    assert log.startswith(searched.log_between)
    assert log.count(f'"event":"{SearchEvent.name}"'.encode()) == 2
    assert sum(one.is_trained for one in read_log(searched.store.search_log(NAME)).proposals) == 5
    assert searched.gone_on.output.startswith(f"{NAME}: a search of 5 trials on digits, ")
    assert "1 trials to confirm the best, on all training images" in searched.gone_on.output
    assert "best: base_lr=" in searched.gone_on.output


def test_the_finished_search_is_whole(searched: Searched) -> None:
    assert list(kept_search.problems(searched.store.path, searched.space, {})) == []


def test_a_training_that_raises_is_failed_once_and_never_tried_again(searched: Searched, cli: Cli) -> None:
    """Once a run at most: Ctrl-C may have come before the search had learned of it."""
    attempts = searched.store.trial_folder(searched.failing) / ATTEMPTS
    before = attempts.read_bytes()
    assert searched.gone_on.exit_status == 1
    assert before.count(b"\n") <= 2
    log = searched.store.search_log(NAME).read_bytes()
    done = cli("run", str(searched.space), "--store", str(searched.store.path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed {searched.failing}: FileExistsError")
    assert done.stderr.count("\n") == 1
    assert read_log(searched.store.search_log(NAME)).proposals[FAILING].status is Status.FAILED
    assert attempts.read_bytes() == before
    assert searched.store.search_log(NAME).read_bytes() == log
    rows = pq.read_table(searched.store.sweep_folder(NAME) / "trials.parquet").to_pylist()
    assert [row["status"] for row in rows if row["proposal"] == FAILING] == ["FAILED"]


def test_a_finished_search_answers_at_once(searched: Searched, cli: Cli) -> None:
    started = time.monotonic()
    done = cli("run", str(searched.space), "--store", str(searched.store.path))
    assert time.monotonic() - started < 10
    assert done.stdout.startswith(f"{NAME}: a search of 5 trials on digits, 5 done, 0 to propose\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_in_mid_search(searched: Searched, command: str) -> None:
    assert (searched.answers_between[command].exit_status, searched.answers_between[command].errors) == (0, "")


def test_every_command_answers_afterwards(searched: Searched) -> None:
    answers = ask_all(searched.store.path)
    assert {name: (one.exit_status, one.errors) for name, one in answers.items()} == dict.fromkeys(COMMANDS, (0, ""))
    assert "5 of 6 trials" in answers["status"].output
    assert "  left     0" in answers["status"].output
    assert answers["table"].output.startswith("Chosen by error on held-out images (%), of 5 trials (tpe, ")
    assert answers["export"].output.startswith("6 trials and ")
    rows = pq.read_table(searched.store.sweep_folder(NAME) / "trials.parquet")["purpose"].to_pylist()
    assert rows == [Purpose.SEARCH] * 5 + [Purpose.CONFIRM]


# What is refused: no Ray is needed to see it.

REFUSED = {
    "another range": (GROWN.replace("3.2", "1.6"), (), "parameters.base_lr.high was 3.2 and is 1.6 now"),
    "another default": (GROWN.replace("epochs: 9", "epochs: 8"), (), "trial.defaults.epochs was 9 and is 8 now"),
    "another seed": (GROWN, ("--set", "seed=1"), "trial.set.seed is new"),
    "fewer trials": (SPACE, (), "num_trials 5, which may grow: 4 is fewer"),
    "again": (GROWN, ("--again",), "--again: a search grows by a larger num_trials"),
    "extend": (GROWN, ("--extend",), "--extend: a search grows by a larger num_trials"),
    "a plain space": (PLAIN, ("--name", NAME), f"the sweep '{NAME}' in "),
    "a plain space, extended": (PLAIN, ("--name", NAME, "--extend"), f"the sweep '{NAME}' in "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_make_it_another_is_refused(searched: Searched, tmp_path: Path, cli: Cli, case: str) -> None:
    text, options, message = REFUSED[case]
    space = tmp_path / "other.yaml"
    space.write_text(text)
    files = [searched.store.sweep_folder(NAME) / name for name in (MANIFEST, SEARCH_LOG)]
    before = [path.read_bytes() for path in files]
    refused = cli("run", str(space), "--store", str(searched.store.path), *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert [path.read_bytes() for path in files] == before


def test_a_search_does_not_take_a_plain_sweeps_name(searched: Searched, tmp_path: Path, cli: Cli) -> None:
    space = tmp_path / "plain.yaml"
    space.write_text(PLAIN)
    write_finished_trials(space, tmp_path / "store")
    assert cli("run", str(space), "--store", "store").returncode == 0
    refused = cli("run", str(searched.space), "--name", "plain", "--store", "store")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "batchscape: the sweep 'plain' in store is rows or a grid: give this run another --name\n"
    )
