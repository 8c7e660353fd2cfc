"""Whole sweeps, as a user runs them: through the command line, in processes of their own, on Ray."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import SPACE, InterruptedSweep, tables

pytestmark = pytest.mark.ray
NOBODY = 65534

FROM_PYTHON = f"""
import sys
sys.path.append({str(ROOT)!r})
from batchscape import run
sweep = run("small.yaml", store="store")
print(sweep)
"""
GOES_ON = "the sweep goes on from its last checkpoints to the rows of an uninterrupted run"


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture(scope="module")
def crowded_folder() -> Iterator[Path]:
    """A temporary folder with another user's folder and a pipe; its path is short, since it will hold sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    for name in ("batchscape-theirs", "batchscape-pipe"):
        (folder / name).mkdir(mode=0o700)
    (folder / "batchscape-theirs" / "lock").touch()
    os.mkfifo(folder / "batchscape-pipe" / "lock")
    if os.geteuid() == 0:
        os.chown(folder / "batchscape-theirs", NOBODY, NOBODY)
    else:  # nobody but root can give a folder away
        (folder / "batchscape-theirs" / "lock").unlink()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, crowded_folder: Path) -> Path:
    """A store with the finished sweep, for all tests that only look.

    It was run from Python, in a folder with stray packages of the names of ours, with a crowded temporary folder.
    """
    folder = tmp_path_factory.mktemp("finished")
    for name in ("models", "trainable"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    (folder / "small.yaml").write_text(SPACE)
    command, environment = [sys.executable, "-c", FROM_PYTHON], os.environ | {"TMPDIR": str(crowded_folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in crowded_folder.iterdir()) == ["batchscape-pipe", "batchscape-theirs"]
    seen = user_sees(done.stdout.rpartition("<Sweep")[0] + done.stderr)
    record("another user's folder, or a pipe, among the temporary files", seen, done.returncode, "it is not touched")
    assert done.stderr == ""  # not a word of Ray's
    assert done.stdout.splitlines()[1] == "starting Ray ..."
    assert done.stdout.splitlines()[-1] == "<Sweep small: 4 of 4 trials complete>"
    assert [line.split("]")[0] for line in done.stdout.splitlines()[2:6]] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    return folder / "store"


def test_a_sweep_leaves_one_row_a_trial_and_one_an_epoch(finished: Path) -> None:
    trials, epochs = tables(finished)
    assert trials["status"].to_pylist() == ["COMPLETE"] * 4
    assert trials["batch_size"].to_pylist() == [32, 32, 64, 64]
    assert epochs["epoch"].to_pylist() == [*range(1, 7)] * 4
    assert min(trials["test_error_percent"].to_pylist()) < 75.0  # chance is 90
    assert {path.name for path in finished.iterdir()} == {"trials", "small", "store.json"}
    assert len(list(finished.glob("trials/*/tensorboard/events.out.tfevents.*"))) == 4
    best = sorted(zip(trials["test_error_percent"].to_pylist(), trials["trial_key"].to_pylist(), strict=True))[:3]
    assert {path.parent.name for path in finished.glob("trials/*/weights.safetensors")} == {key for _, key in best}


def test_running_a_finished_sweep_again_changes_nothing(finished: Path, space: str, cli: Cli) -> None:
    before = tables(finished)
    done = cli("run", space, "--store", str(finished))
    assert done.returncode == 0
    assert "4 done, 0 to train" in done.stdout
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
    assert exported.stdout.startswith("4 trials and 24 epochs written")
    assert pq.read_table(tmp_path / "exported" / "trials.parquet").num_rows == 4
    plotted = cli("plot", "small", "--to", str(tmp_path / "figures"), *store)
    assert plotted.returncode == 0
    assert (tmp_path / "figures" / "error_by_lr.png").read_bytes().startswith(b"\x89PNG")


def test_stray_packages_in_the_users_folder_are_not_imported(finished: Path) -> None:
    """The sweep was trained; whoever imported them would fail."""
    for name in ("models", "trainable"):
        command = [sys.executable, "-c", f"import {name}"]
        done = subprocess.run(command, cwd=finished.parent, capture_output=True, text=True, check=False)
        assert "the wrong package" in done.stderr


def test_ctrl_c_says_how_to_resume(interrupted: InterruptedSweep) -> None:
    stopped = interrupted.by_ctrl_c
    assert stopped.returncode == 130
    assert stopped.stderr.startswith("\nstopped with ")
    assert "the same command resumes" in stopped.stderr


def test_a_killed_worker_is_one_line(interrupted: InterruptedSweep) -> None:
    last = interrupted.last
    assert last.returncode == 0, last.stdout + last.stderr
    assert last.stderr == ""
    lines = last.stdout.splitlines()
    assert sum("its process died" in line for line in lines) == 1
    assert not [line for line in lines if "raylet" in line or "Traceback" in line]


def test_an_interrupted_sweep_ends_up_like_an_uninterrupted_one(
    interrupted: InterruptedSweep, finished: Path
) -> None:
    assert interrupted.by_a_kill.returncode == -signal.SIGKILL
    assert tables(interrupted.store) == tables(finished)
    stopped, killed, last = interrupted.by_ctrl_c, interrupted.by_a_kill, interrupted.last
    record("Ctrl-C", user_sees(stopped.stderr), stopped.returncode, GOES_ON)
    record("the driver is killed", user_sees(killed.stderr), None, GOES_ON)
    record("one worker is killed", user_sees(last.stdout), last.returncode, GOES_ON)


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


@pytest.mark.cifar
def test_real_images(cifar_folder: Path, tmp_path: Path, cli: Cli) -> None:
    store, data = str(tmp_path / "store"), tmp_path / cifar_folder.name
    for split, num_images in (("train", 2500), ("test", 500)):  # to decode all of them takes longer than the sweep
        first, *_ = sorted(cifar_folder.rglob(f"{split}-*.parquet"))
        data.mkdir(exist_ok=True)
        pq.write_table(pq.read_table(first).slice(0, num_images), data / f"{split}-00000-of-00001.parquet")
    settings = [f"--set={setting}" for setting in ("train_subset=2000", "test_subset=500", "model=resnet_preact_8")]
    done = cli("run", "cifar10_smoke", "--data", str(data), "--store", store, "--max-concurrent", "2", *settings)
    assert done.returncode == 0, done.stderr
    trials, epochs = tables(tmp_path / "store", "cifar10_smoke")
    assert set(trials["dataset"].to_pylist()) == {"cifar10-jpeg"}
    assert len(trials) == 4
    assert min(trials["test_error_percent"].to_pylist()) < 75.0  # chance is 90
    errors = epochs["train_error_percent"].to_pylist()
    assert all(second < first for first, second in zip(errors[::2], errors[1::2], strict=True))
