"""Whole sweeps, as a user runs them: through the command line, in processes of their own, on Ray."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.processes import trial_workers
from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import Start, tables, wait_for_epochs

pytestmark = pytest.mark.ray

SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 4, train_subset: 256, test_subset: 100, precision: fp32}
grid:
  batch_size: [32, 64]
  lr: [0.05, 0.2]
"""
GOES_ON = "the sweep goes on from its last checkpoints to the rows of an uninterrupted run"


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the finished sweep, for all tests that only look."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(SPACE)
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", "small.yaml", "--store", "store"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # not a word of Ray's
    assert [line.split("]")[0] for line in done.stdout.splitlines()[1:5]] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    return folder / "store"


def test_a_sweep_leaves_one_row_a_trial_and_one_an_epoch(finished: Path) -> None:
    trials, epochs = tables(finished)
    assert trials["status"].to_pylist() == ["COMPLETE"] * 4
    assert trials["batch_size"].to_pylist() == [32, 32, 64, 64]
    assert epochs["epoch"].to_pylist() == [1, 2, 3, 4] * 4
    assert min(trials["test_error_percent"].to_pylist()) < 75.0  # chance is 90
    assert {path.name for path in finished.iterdir()} == {"trials", "small"}
    assert len(list(finished.glob("trials/*/tensorboard/events.out.tfevents.*"))) == 4


def test_running_a_finished_sweep_again_starts_no_ray(finished: Path, space: str, cli: Cli) -> None:
    before = tables(finished)
    started = time.monotonic()
    done = cli("run", space, "--store", str(finished))
    assert done.returncode == 0
    assert "4 done, 0 to train" in done.stdout
    assert time.monotonic() - started < 10
    assert tables(finished) == before


def test_a_name_cannot_come_to_mean_other_trials(finished: Path, space: str, cli: Cli) -> None:
    done = cli("run", space, "--store", str(finished), "--set", "epochs=3")
    assert done.returncode == 2
    assert "give this run another --name" in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_sweep_reuses_what_the_store_holds(finished: Path, tmp_path: Path, cli: Cli) -> None:
    store = tmp_path / "moved"
    shutil.copytree(finished, store)
    subset = tmp_path / "subset.yaml"
    subset.write_text(SPACE.replace("small", "subset").replace("[32, 64]", "[64]"))
    done = cli("run", str(subset), "--store", str(store))
    assert "2 trials on digits, 2 reused (2 of small), 0 to train" in done.stdout
    assert pq.read_table(store / "subset" / "trials.parquet")["sweep"].to_pylist() == ["subset"] * 2


def test_status_table_export_and_plot_answer_from_the_store(finished: Path, tmp_path: Path, cli: Cli) -> None:
    store = ("--store", str(finished))
    status = json.loads(cli("status", "small", "--json", *store).stdout)
    assert (status["planned"], status["done"], status["left"], status["driver_running"]) == (4, 4, 0, False)
    table = cli("table", "small", *store).stdout.splitlines()
    assert table[0].startswith("| Model           | batch size | initial lr |")
    assert len(table) == 6
    exported = cli("export", "small", "--to", str(tmp_path / "exported"), *store)
    assert exported.stdout.startswith("4 trials and 16 epochs written")
    assert pq.read_table(tmp_path / "exported" / "trials.parquet").num_rows == 4
    plotted = cli("plot", "small", "--to", str(tmp_path / "figures"), *store)
    assert plotted.returncode == 0
    assert (tmp_path / "figures" / "error_by_lr.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_ends_up_like_an_uninterrupted_one(
    number: signal.Signals, finished: Path, space: str, tmp_path: Path, cli: Cli, start: Start
) -> None:
    store = tmp_path / "store"
    driver = start(space, store)
    wait_for_epochs(store, 6)
    driver.send_signal(number)
    _, errors = driver.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert driver.returncode == 130
        assert errors.startswith("\nstopped with ")
        assert "the same command goes on" in errors
    pq.read_table(store / "small" / "trials.parquet")  # readable at every moment
    done = cli("run", space, "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert tables(store) == tables(finished)
    fault = "Ctrl-C" if number == signal.SIGINT else "the driver is killed"
    record(fault, user_sees(errors), None if number == signal.SIGKILL else driver.returncode, GOES_ON)


def test_a_second_driver_is_refused(space: str, tmp_path: Path, cli: Cli, start: Start) -> None:
    store = tmp_path / "store"
    driver = start(space, store)
    wait_for_epochs(store, 1)
    second = cli("run", space, "--store", str(store))
    running = json.loads(cli("status", "small", "--json", "--store", str(store)).stdout)
    driver.send_signal(signal.SIGTERM)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "the same command goes on" in errors
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another process is running the sweep 'small'" in second.stderr
    record("a second driver on one sweep", user_sees(second.stderr), second.returncode, "the first driver goes on")
    assert running["driver_running"]
    assert running["running"] >= 1


def test_adding_repeats_trains_only_the_difference(finished: Path, space: str, tmp_path: Path, cli: Cli) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished, store)
    text = SPACE.replace("grid:", "repeats: 2\ngrid:").replace("[32, 64]", "[64]").replace("small", "more")
    Path(space).write_text(text)
    done = cli("run", space, "--store", str(store))
    assert "4 trials on digits, 2 reused (2 of small), 2 to train" in done.stdout
    trials, _ = tables(store, "more")
    assert trials["repeat"].to_pylist() == [0, 1, 0, 1]
    assert trials["seed"].to_pylist() == [0, 1, 0, 1]
    assert "Test Error (median of 2 runs)" in cli("table", "more", "--store", str(store)).stdout


def test_divergence_is_a_row_like_any_other(tmp_path: Path, cli: Cli) -> None:
    space = tmp_path / "wild.yaml"
    space.write_text(
        "defaults: {model: resnet_preact_8, epochs: 2, train_subset: 256, test_subset: 50, batch_size: 32}\n"
        "rows: [{lr: 1.0e+18}, {lr: 0.1}]\n"
    )
    store = tmp_path / "store"
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    trials, _ = tables(store, "wild")
    assert trials["status"].to_pylist() == ["DIVERGED", "COMPLETE"]
    assert trials["test_error_percent"].to_pylist()[0] is None
    assert "diverged" in cli("table", "wild", "--store", str(store)).stdout


def test_a_trial_that_raises_is_a_failed_row_and_is_tried_again(
    finished: Path, space: str, tmp_path: Path, cli: Cli
) -> None:
    store = tmp_path / "store"
    key = pq.read_table(finished / "small" / "trials.parquet")["trial_key"].to_pylist()[1]
    in_the_way = store / "trials" / key / "tensorboard"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where the event files are to lie")
    done = cli("run", space, "--store", str(store))
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed {key}: FileExistsError")
    assert done.stderr.count("\n") == 1
    trials, _ = tables(store)
    assert trials["status"].to_pylist() == ["COMPLETE", "FAILED", "COMPLETE", "COMPLETE"]
    assert pq.read_table(store / "small" / "trials.parquet")["attempts"].to_pylist() == [1, 1, 1, 1]
    assert "failed" in cli("table", "small", "--store", str(store)).stdout
    in_the_way.unlink()
    assert cli("run", space, "--store", str(store)).returncode == 0
    assert tables(store) == tables(finished)


def test_a_killed_worker_costs_nothing_but_time(finished: Path, space: str, tmp_path: Path, start: Start) -> None:
    store = tmp_path / "store"
    driver = start(space, store)
    wait_for_epochs(store, 3)
    os.kill(trial_workers(driver.pid)[0], signal.SIGKILL)
    output, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, output + errors
    assert errors == ""
    lines = output.splitlines()
    assert sum("its process died" in line for line in lines) == 1
    assert not [line for line in lines if "raylet" in line or "Traceback" in line]
    assert tables(store) == tables(finished)
    record("one worker is killed", user_sees(output), driver.returncode, GOES_ON)


def test_a_gpu_that_no_node_has_is_refused_before_anything_is_created(space: str, tmp_path: Path, cli: Cli) -> None:
    done = cli("run", space, "--store", str(tmp_path / "store"), "--gpus-per-trial", "64")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--gpus-per-trial 64" in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no.such.host.invalid:6379"])
def test_no_cluster_at_the_address_is_one_line(address: str, space: str, tmp_path: Path, cli: Cli) -> None:
    done = cli("run", space, "--store", str(tmp_path / "store"), "--address", address)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"--address {address}" in done.stderr


def test_a_stray_package_in_the_users_folder_is_not_imported(space: str, tmp_path: Path, cli: Cli) -> None:
    for name in ("models", "trainable"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    done = cli("run", space, "--store", "store", "--set", "epochs=1", "--set", "batch_size=64", "--set", "lr=0.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: 3 of 4 trials are duplicates" in done.stdout


@pytest.mark.cifar
def test_real_images(cifar_folder: Path, tmp_path: Path, cli: Cli) -> None:
    store = str(tmp_path / "store")
    settings = [f"--set={setting}" for setting in ("train_subset=2000", "test_subset=500", "model=resnet_preact_8")]
    done = cli(
        "run", "cifar10_smoke", "--data", str(cifar_folder), "--store", store, "--max-concurrent", "2", *settings
    )
    assert done.returncode == 0, done.stderr
    trials, epochs = tables(tmp_path / "store", "cifar10_smoke")
    assert set(trials["dataset"].to_pylist()) == {"cifar10-jpeg"}
    assert len(trials) == 4
    assert min(trials["test_error_percent"].to_pylist()) < 75.0  # chance is 90
    errors = epochs["train_error_percent"].to_pylist()
    assert all(second < first for first, second in zip(errors[::2], errors[1::2], strict=True))
