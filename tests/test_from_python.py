"""`from batchscape import load, run`: results as objects, runs in a process of their own, mistakes as exceptions."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import batchscape
from batchscape import InputError, Plot, RunError, load, run
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.local_store import LocalStore
from results.store.opening import open_store
from tests.conftest import ROOT
from tests.results_tests.result_samples import (
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.ledger.remote_ledger import open_ledger
from trainable.ledger.safetensors import StoredTensor, StoredWeights
from trainable.records import Status

EXAMPLES = ROOT / "results" / "examples"
QUICKSTART = EXAMPLES / "quickstart"
WITH_OWN_PACKAGES = f"""
import sys
sys.path.append({str(ROOT)!r})  # behind the current folder, as in a notebook
import models
from batchscape import load
assert not {{"pandas", "pyarrow", "results"}} & {{*sys.modules}}
sweep = load({str(QUICKSTART)!r})
assert sweep.best()["num_runs"] == 1 and sweep.table() and len(sweep.trials) == 9
assert sys.modules["models"] is models and models.MINE
import results, trainable.mine, cli
assert results.MINE and trainable.mine and cli.MINE
assert sweep.plot("heat_map").figures
assert sys.modules["models"] is models
from batchscape import run
try:
    run("quickstart", scale="x")
except ValueError as error:
    assert str(error).startswith("--scale x: "), error
assert not {{"torch", "ray"}} & {{*sys.modules}}
"""


def test_beside_packages_of_the_users_with_our_names(tmp_path: Path) -> None:
    for name in batchscape.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True")
        (tmp_path / name / "mine.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", WITH_OWN_PACKAGES],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_sweep_gives(tmp_path: Path) -> None:
    sweep = load(QUICKSTART)
    assert sweep.table() == (QUICKSTART / "table.md").read_text()
    first = sweep.table(sort="total_seconds").splitlines()[2]
    assert first.startswith("| ResNet-preact-8 |     256    |")
    best = sweep.best()
    assert (best["varied"], best["config"]["lr"], best["num_runs"]) == (["batch_size", "lr"], 0.8, 1)
    assert best["test_error_percent"] == sweep.trials["test_error_percent"].min()
    assert list(sweep.epochs.groupby("trial_key").size()) == [10] * 9
    assert repr(sweep) == "<Sweep quickstart: 9 of 9 trials complete>"
    assert sweep._repr_html_().count("ResNet-preact-8") == 9
    assert sweep.plot("error_by_lr").save(tmp_path) == [tmp_path / "error_by_lr.svg", tmp_path / "error_by_lr.png"]
    with pytest.raises(InputError, match="no figure 'error_by_l': did you mean 'error_by_lr'"):
        sweep.plot("error_by_l")
    assert sweep.plot("scatter", x="lr", y="train_seconds").figures
    with pytest.raises(InputError, match="did you mean 'lr'"):
        sweep.plot("scatter", x="lrs")


def test_figures_of_several_pages_are_shown_below_each_other() -> None:
    shown = Plot("two", {"two": Figure(), "two_2": Figure()})._repr_mimebundle_()
    assert shown["text/html"].count("</svg>") == 2


def test_the_published_results() -> None:
    published = load("published")
    assert len(published.trials) == 91 + 20 + 133
    assert len(published.epochs) == 0
    assert published.best()["test_error_percent"] == published.trials["test_error_percent"].min()
    assert "ResNet-110" in published.table()
    assert repr(published) == "<Sweep published: 244 results>"


def test_exported_files_in_a_folder_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "my folder")
    assert load(tmp_path / "my folder").name == "quickstart"
    monkeypatch.chdir(tmp_path)
    assert load("my folder").name == "quickstart"
    (tmp_path / "my folder" / "epochs.parquet").unlink()
    with pytest.raises(InputError, match=r"my folder/epochs.parquet is missing: export the sweep again"):
        load("my folder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([EXAMPLES / "quikstart"], "no sweep 'quikstart' in .*: did you mean 'quickstart'?"),
        (["quikstart", EXAMPLES], "no sweep 'quikstart' in .*: did you mean 'quickstart'?"),
        (["nowhere"], "no sweep 'nowhere' in runs: it holds none yet: start with"),
        ([EXAMPLES], "results/examples is a store, not a sweep: load one of its sweeps, cifar10_smoke, "),
        ([QUICKSTART / "table.md"], "no sweep 'table.md' in"),
        (["x", "nonsense://bucket"], "nonsense://bucket"),
        ([None], "sweep must be a path or a name, got None"),
        ([""], "sweep must be a path or a name, got ''"),
        ([b"x"], "sweep must be a path or a name, got b'x'"),
        (["x", 3], "store must be a path or a name, got 3"),
    ],
)
def test_what_is_no_sweep(
    arguments: list[Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)


def test_a_sweep_is_loaded_as_its_ledgers_are_now(tmp_path: Path) -> None:
    """The driver may have been killed before it wrote the Parquet files; and they may be damaged."""
    store = LocalStore(tmp_path)
    first, second = make_config(epochs=2), make_config(epochs=2, seed=1)
    manifest = make_manifest([first, second])
    store.write_manifest(manifest)
    write_trial(store, first, [make_epoch(1, 9.0), make_epoch(2, 8.0)], make_end(Status.COMPLETE, 2))
    folder = tmp_path / manifest.name
    assert len(load(folder).epochs) == 2  # none is exported
    write_tables(*Collector(store, manifest).tables(), store, manifest.name)
    exported = (folder / "epochs.parquet").stat()
    write_trial(store, second, [make_epoch(1, 7.0)], None)
    assert len(load(folder).epochs) == 3
    (folder / "trials.parquet").write_bytes(b"PAR1")
    assert list(load(folder).trials["status"]) == ["COMPLETE", "INCOMPLETE"]
    assert (folder / "epochs.parquet").stat() == exported  # nothing is written
    ledger = store.trial_folder(second.trial_key) / "epochs.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"7.0", b"6.0"))
    with pytest.warns(UserWarning, match="is damaged and left out"):
        load(folder)


def test_the_weights_of_a_trial(tmp_path: Path) -> None:
    store, config = LocalStore(tmp_path), make_config(epochs=1)
    manifest = make_manifest([config])
    store.write_manifest(manifest)
    tensors = {
        "bias": StoredTensor("F32", (1, 2), np.array([0.5, 2], "<f4").tobytes()),
        "count": StoredTensor("I64", (), np.array(3, "<i8").tobytes()),
        "none": StoredTensor("BOOL", (0,), b""),
    }
    with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
        ledger.begin(make_attempt())
        ledger.append(make_epoch(1, 5.0))
        ledger.save_weights(StoredWeights(tensors, {}))
        ledger.finish(make_end(Status.COMPLETE, 1))
    sweep = load(tmp_path / manifest.name)
    for key in (None, config.trial_key, config.trial_key[:6]):
        weights = sweep.weights(key)
        assert (weights["bias"].tolist(), int(weights["count"]), weights["none"].shape) == ([[0.5, 2.0]], 3, (0,))
        weights["bias"] += 1  # a copy
    with pytest.raises(InputError, match="no trial"):
        sweep.weights("0" * 16)
    for other in (load(QUICKSTART), load("published")):
        with pytest.raises(InputError, match="only the store in which a sweep was trained holds weights"):
            other.weights()


@pytest.mark.parametrize("given", ["quickstart", "runs/quickstart", "~/runs/quickstart", "runs/quickstart/", "."])
def test_where_a_sweep_is(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of data may have the name of the sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "quickstart").mkdir()
    shutil.copytree(QUICKSTART, tmp_path / "runs" / "quickstart")
    if given == ".":
        monkeypatch.chdir(tmp_path / "runs" / "quickstart")
    assert len(load(given).trials) == 9


def test_a_sweep_in_a_bucket(s3: S3Server) -> None:
    uri = f"s3://{s3.new_bucket()}/some/where"
    store, config = open_store(uri), make_config(epochs=2)
    store.write_manifest(make_manifest([config]))
    train(store, config, 2, Status.COMPLETE)
    assert list(load(f"{uri}/sweep").trials["status"]) == ["COMPLETE"]
    assert len(load("sweep", uri).epochs) == 2
    with pytest.raises(InputError, match=r"no sweep 'swep' in s3://.*: did you mean 'sweep'?"):
        load(f"{uri}/swep/")


@pytest.fixture
def child() -> ModuleType:
    """Our module that starts the command, as `run` sees it."""
    with batchscape._our_packages():
        from cli import child

        return child


Does = Callable[[str], None]


@pytest.fixture
def does(child: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Does:
    """In place of the command `run` a process does this."""

    def replace(code: str) -> None:
        code = f"import os, signal, sys, time\nparent = os.getppid()\n{code}"
        monkeypatch.setattr(child, "COMMAND", [sys.executable, "-S", "-c", code])

    return replace


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("sys.exit('batchscape: the disk is full')", RunError, "the disk is full"),
        (
            "print('failed k1: no\\nfailed k2: no', file=sys.stderr); sys.exit(1)",
            RunError,
            "a trial failed: k1: no and",
        ),
        ("sys.exit(1)", RunError, "trials are left"),
        ("print('batchscape: --data: é', file=sys.stderr); sys.exit(2)", InputError, "--data: é"),
        ("os.kill(os.getpid(), signal.SIGKILL)", RunError, "the run was ended by SIGKILL: the same call resumes"),
        ("sys.exit(130)", KeyboardInterrupt, "^$"),
    ],
)
def test_exit_codes_are_exceptions(does: Does, code: str, error: type[Exception], message: str) -> None:
    does(code)
    with pytest.raises(error, match=message):
        run("quickstart")


def test_what_a_run_prints_is_printed_here(
    does: Does, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jupyter sets FORCE_COLOR, and would show each state of a live table."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    does(
        "print(sys.argv[1:], os.environ['FORCE_COLOR']); print('a note', file=sys.stderr); sys.exit('batchscape: no')"
    )
    changed = {"lr": np.float64(0.5), "betas": (0.9, 0.99)}
    with pytest.raises(RunError):
        run("quickstart", store="~/runs", set=changed, fail_fast=True, again=False)
    store, settings = f"--store={Path.home()}/runs", ["--set=lr=0.5", "--set=betas=[0.9, 0.99]"]
    printed = capfd.readouterr()
    assert printed.out == f"{['run', 'quickstart', '--fail-fast', store, *settings]} \n"
    assert printed.err == "a note\n"


def test_an_interrupt_reaches_the_run_once_and_is_raised(does: Does, capfd: pytest.CaptureFixture[str]) -> None:
    does(
        "count = 0\n"
        "def stop(*_):\n    global count\n    count += 1\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "os.kill(parent, signal.SIGINT)\n"
        "while not count: time.sleep(0.01)\n"
        "time.sleep(0.05)\nprint('stopped', count, os.getpgrp() == os.getpid())\n"
        "sys.exit(130)"
    )
    with pytest.raises(KeyboardInterrupt):
        run("quickstart")
    assert capfd.readouterr().out == "stopped 1 True\n"  # a terminal's Ctrl-C reaches its own group only


STANDS_IN = """
import signal
from pathlib import Path
def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.alarm(30)
    print("begun", flush=True)
    signal.sigwait([signal.SIGTERM])
    Path("stopped").touch()
"""
KILLED = f"""
import os, signal, sys
sys.path.append({str(ROOT)!r})
import batchscape
with batchscape._our_packages():
    from cli import child
child.COMMAND[-1] = os.getcwd()  # the folder of another tune_main
batchscape.run("quickstart")
"""


def test_a_run_stops_when_the_program_that_called_it_is_killed(tmp_path: Path) -> None:
    """A notebook's kernel is killed when it is restarted."""
    (tmp_path / "tune_main.py").write_text(STANDS_IN)
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"begun\n"
        caller.kill()
        assert caller.stdout.read() == b""  # until its child has ended
    assert (tmp_path / "stopped").exists()


def test_a_space_as_a_dict(does: Does, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    does("print(open(sys.argv[2]).read()); sys.exit('batchscape: ' + sys.argv[2] + ':3: grid: no')")
    space = {"name": "own", "grid": {"lr": np.array([0.5, 1.0]), "seed": range(2)}, "rows": ({"data": tmp_path},)}
    with pytest.raises(RunError, match=r"^the space: grid: no$"):
        run(space)
    text = capfd.readouterr().out
    assert "name: own" in text and "0.5" in text and str(tmp_path) in text


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (
            {"name": "own", "grid": {"l": [1]}},
            {"scale": "x"},
            "^the space: grid.l: unknown key 'l': did you mean 'lr'",
        ),
        ({"grid": {"lr": [1]}}, {}, "the space has no name: add `name` to it"),
        ({"name": "own", "grid": {"lr": [object()]}}, {}, "<object .*> cannot be in a space"),
        ("quickstat", {}, "no space 'quickstat': did you mean 'quickstart'?"),
        ("quickstart", {"set": {"lr": object()}}, "<object .*> cannot be in a space"),
        (3, {}, "space must be a path or a name, got 3"),
        ("quickstart", {"store": 3}, "store must be a path or a name, got 3"),
    ],
)
def test_what_cannot_be_run(space: Any, options: dict[str, Any], message: str) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=message):
        run(space, **options)
