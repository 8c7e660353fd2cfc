"""A search as a user runs it: interrupted, resumed, enlarged; what the commands say meanwhile and afterwards.

It searches the width of a user's own model, too. Two starts of Ray, in the first fixture; all else looks at the store
that they leave.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tune_main
from results.store.local_store import LocalStore
from results.store.search_log import SearchEvent, read_log
from sweep.status.status import SweepStatus, sweep_status
from tests.conftest import ROOT
from tests.integration_tests import kept_search
from tests.integration_tests.running_sweeps import (
    OWN_MODEL,
    PATIENCE_SECONDS,
    end_of,
    figures,
    search_on_digits,
    trained_here,
    wait_for_epochs,
)
from trainable.config import TrainConfig
from trainable.ledger.files import ATTEMPTS, TENSORBOARD
from trainable.ledger.reading import read_trial
from trainable.records import Purpose, Status

pytestmark = pytest.mark.ray

NAME = "wide"
SPACE = f"""
name: {NAME}
defaults: {{model: {OWN_MODEL}, epochs: 9, train_subset: 160, test_subset: 10, precision: fp32}}
search: {{algorithm: tpe, num_trials: 4}}
parameters:
  base_lr: {{min: 0.01, max: 3.2, distribution: log_uniform_values}}
  batch_size: {{values: [16, 32]}}
  model_args.width: {{values: [24, 32]}}
derive: {{lr: base_lr * batch_size / 128}}
scheduler: {{type: asha, grace_epochs: 2, reduction_factor: 2}}
confirm: {{top: 1, repeats: 1}}
"""
GROWN = SPACE.replace("num_trials: 4", "num_trials: 5")
FAILING = 1
"""Number of the proposal that is made to raise in the first run."""
COMMANDS = ("status", "table", "report", "export", "plot")
Answer = tuple[int, str, str]
"""Exit status, standard output, standard error."""
Ask = Callable[..., Answer]


@dataclass(frozen=True)
class Searched:
    """A search that was interrupted and then resumed with more trials."""

    folder: Path
    failing: str
    """Key of the trial that raised in the first run."""
    interrupted: subprocess.CompletedProcess[str]
    status_while_running: SweepStatus
    between: LocalStore
    """A copy from between the two runs."""
    gone_on: subprocess.CompletedProcess[str]

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "store")

    @property
    def space(self) -> Path:
        return self.folder / f"{NAME}.yaml"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command line in this process, where whoever wants Ray fails: `ask("table", "quickstart")`."""
    monkeypatch.setitem(sys.modules, "sweep.driver.tune_run", None)

    def run(*arguments: str) -> Answer:
        status = tune_main.main(arguments)
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


def command_line(command: str, store: LocalStore) -> list[str]:
    options = {"export": ["--to", str(store.path / "exported")], "plot": ["--figure", "learning_curves"]}
    return [command, NAME, "--store", str(store.path), *options.get(command, ())]


def key_of(space: Path, number: int, folder: Path) -> str:
    """Key of the trial that the search proposes as number `number`, while proposals are drawn at random."""
    search = search_on_digits(space, LocalStore(folder))
    proposals = [search.next() for _ in range(number + 1)]
    assert proposals[-1] is not None
    return proposals[-1].trial.config.trial_key


def start(space: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), "--store", str(store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_failure(store: Path) -> None:
    """Wait until the search has recorded a failure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while b'"FAILED"' not in LocalStore(store).search_log(NAME).read():
        assert time.monotonic() < deadline, "nothing fails"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    space, store = folder / f"{NAME}.yaml", folder / "store"
    space.write_text(SPACE)
    failing = key_of(space, FAILING, folder / "aside")
    in_the_way = store / "trials" / failing / TENSORBOARD
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where the event files are to lie")
    with start(space, store) as driver:
        try:
            wait_for_epochs(store, 2)
            wait_for_failure(store)
            status = sweep_status(LocalStore(store), LocalStore(store).manifest(NAME))
        finally:
            driver.send_signal(signal.SIGINT)
        interrupted = end_of(driver)
    between = shutil.copytree(store, folder / "between")
    in_the_way.unlink()
    space.write_text(GROWN)
    with start(space, store) as driver:
        gone_on = end_of(driver)
    return Searched(folder, failing, interrupted, status, LocalStore(between), gone_on)


def test_ctrl_c_ends_it_with_one_line(searched: Searched) -> None:
    assert searched.status_while_running.driver_running
    assert searched.status_while_running.planned == 5  # the confirmation, too
    assert searched.interrupted.returncode == 130
    assert searched.interrupted.stderr.startswith("\nstopped with ")
    assert searched.interrupted.stderr.endswith(" of 5 trials done; the same command resumes\n")
    assert searched.interrupted.stdout.startswith(f"{NAME}: a search of 4 trials on digits, 0 done, 4 to propose\n")


def test_it_resumes_from_its_log_and_grows(searched: Searched) -> None:
    log = searched.store.search_log(NAME).read()
    assert log.startswith(searched.between.search_log(NAME).read())
    assert log.count(f'"event":"{SearchEvent.name}"'.encode()) == 2
    assert sum(proposal.is_trained for proposal in read_log(searched.store.search_log(NAME)).proposals) == 5
    assert searched.gone_on.stdout.startswith(f"{NAME}: a search of 5 trials on digits, ")
    assert "1 trial to confirm the best, on all training images" in searched.gone_on.stdout
    assert "best: base_lr=" in searched.gone_on.stdout


def test_the_finished_search_is_whole(searched: Searched) -> None:
    assert list(kept_search.problems(searched.store.path, searched.space, {})) == []


def test_what_was_interrupted_is_as_uninterrupted(searched: Searched, tmp_path: Path) -> None:
    trials = [read_trial(folder) for folder in searched.store.all_trials() if folder.name != searched.failing]
    trial = max(trials, key=lambda trial: len(trial.attempts))  # none was under way if Ctrl-C came between two
    config = TrainConfig.from_dict(trial.config)
    assert "width" in config.model_arguments()
    assert figures(trial.epochs) == trained_here(config, tmp_path / "whole")[: len(trial.epochs)]


def test_a_stopped_trial_is_trained_no_further(searched: Searched) -> None:
    proposals = read_log(searched.store.search_log(NAME)).proposals
    stopped = [proposal for proposal in proposals if proposal.status is Status.STOPPED]
    assert stopped
    for proposal in stopped:
        assert proposal.config is not None
        trained = read_trial(searched.store.trial_folder(proposal.config.trial_key)).epochs
        assert len(trained) == len(proposal.reports)


def test_a_training_that_raised_is_failed_for_its_run_and_trained_by_the_next(searched: Searched) -> None:
    told = sweep_status(searched.between, searched.between.manifest(NAME))
    assert told.failed == 1
    assert told.errors[searched.failing].startswith("FileExistsError")
    before = read_log(searched.between.search_log(NAME)).proposals[FAILING]
    after = read_log(searched.store.search_log(NAME)).proposals[FAILING]
    assert (before.status, before.reports) == (Status.FAILED, [])
    assert (after.config, after.status) in [(before.config, Status.COMPLETE), (before.config, Status.STOPPED)]
    attempts = searched.store.trial_folder(searched.failing) / ATTEMPTS
    assert attempts.read_bytes().count(b"\n") == 2
    assert searched.gone_on.returncode == 0
    assert searched.gone_on.stderr == ""
    rows = pq.read_table(searched.store.sweep_folder(NAME) / "trials.parquet").to_pylist()
    assert [row["status"] for row in rows if row["proposal"] == FAILING] == [after.status]


def test_a_finished_search_answers_without_ray(searched: Searched, ask: Ask) -> None:
    log = searched.store.search_log(NAME).read()
    status, output, errors = ask("run", str(searched.space), "--store", str(searched.store.path))
    assert (status, errors) == (0, "")
    assert searched.store.search_log(NAME).read() == log
    assert output.startswith(f"{NAME}: a search of 5 trials on digits, 5 done, 0 to propose\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_in_mid_search(searched: Searched, ask: Ask, command: str) -> None:
    status, output, errors = ask(*command_line(command, searched.between))
    assert (status, bool(output), errors) == (0, True, "")


def test_the_finished_search_is_reported_and_exported(searched: Searched, ask: Ask) -> None:
    outputs = {}
    for command in ("status", "table", "export"):
        status, outputs[command], errors = ask(*command_line(command, searched.store))
        assert (status, errors) == (0, "")
    assert "6 of 6 trials" in outputs["status"]
    assert "  left     0" in outputs["status"]
    assert outputs["table"].startswith("Chosen from 5 trials (tpe, ")
    assert outputs["export"].startswith("6 trials and ")
    rows = pq.read_table(searched.store.sweep_folder(NAME) / "trials.parquet")["purpose"].to_pylist()
    assert rows == [Purpose.SEARCH] * 5 + [Purpose.CONFIRM]
