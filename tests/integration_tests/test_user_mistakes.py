"""Every mistake of a user's: one line on stderr, exit status 2, nothing created."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.refusals import refused

GOOD = "rows: [{lr: 0.1}]\ndefaults: {dataset: digits, model: resnet_preact_8, epochs: 1}\n"
Write = Callable[[str], Path]


@pytest.fixture
def space(tmp_path: Path) -> Write:
    """Write a space file outside the store's folder; gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path at which the store would be created; the working folder is empty."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "store"


SPACE_MISTAKES = {
    "unknown key": ("gird: {lr: [0.1]}\n", "did you mean 'grid'?"),
    "unknown field": ("rows: [{learning_rate: 0.1}]\n", "did you mean 'lr'?"),
    "unknown field, near": ("rows: [{bach_size: 8}]\n", "did you mean 'batch_size'?"),
    "lr 0": ("rows: [{lr: 0}]\n", "lr must be greater than 0, got 0"),
    "lr negative": ("rows: [{lr: -0.1}]\n", "got -0.1"),
    "lr NaN": ("rows: [{lr: .nan}]\n", "lr must be a finite number, got nan"),
    "lr a word": ("rows: [{lr: fast}]\n", "lr must be a number, got 'fast'"),
    "batch 0": ("rows: [{batch_size: 0}]\n", "batch_size must be at least 1, got 0"),
    "batch a fraction": ("rows: [{batch_size: 2.5}]\n", "batch_size must be a whole number, got 2.5"),
    "batch larger than the data": ("rows: [{batch_size: 5000}]\n", "larger than the 1442 training images"),
    "epochs 0": ("rows: [{epochs: 0}]\n", "epochs must be at least 1"),
    "momentum 1": ("rows: [{momentum: 1}]\n", "momentum must be"),
    "holdout everything": ("rows: [{holdout: 1.0}]\n", "holdout must be between 0 and 0.5"),
    "unknown schedule": ("rows: [{schedule: cosin}]\n", "did you mean 'cosine'?"),
    "unknown precision": ("rows: [{precision: bf61}]\n", "did you mean 'bf16'?"),
    "more epochs than anybody has": (
        "rows: [{epochs: 99999999999999999999}]\n",
        "epochs must be at most",
    ),
    "lr beyond float32": ("rows: [{lr: 1e39}]\n", "lr must be"),
    "weight decay beyond float32": ("rows: [{weight_decay: 1e300}]\n", "weight_decay must be"),
    "a network without end": ("rows: [{model: resnet_99999999998}]\n", "the depth must be at most 2000"),
    "milestones outside": ("rows: [{schedule: multistep, epochs: 10, milestones: [12]}]\n", "got [12.0]"),
    "unknown optimiser": ("rows: [{optimizer: adam}]\n", "did you mean 'adamw'?"),
    "betas of SGD": ("rows: [{betas: [0.9, 0.99]}]\n", "betas belongs to optimizer adamw or muon, not sgd"),
    "one beta": ("rows: [{optimizer: adamw, betas: [0.9]}]\n", "betas must be two numbers"),
    "eps that fp16 cannot hold": (
        "rows: [{optimizer: adamw, precision: pure_fp16}]\n",
        "eps 1e-08 of adamw is 0 in pure_fp16: give eps 1e-4, for example",
    ),
    "weight decay on what": ("rows: [{weight_decay_on: bn}]\n", "valid: all, no_bn, matrices"),
    "clipping to 0": ("rows: [{clip_grad_norm: 0}]\n", "clip_grad_norm must be greater than 0, got 0"),
    "warm-up of all epochs": ("rows: [{epochs: 3, warmup_epochs: 3}]\n", "must be between 0 and below 3, got 3"),
    "warm-up past a milestone": (
        "rows: [{schedule: multistep, epochs: 10, milestones: [2], warmup_epochs: 3}]\n",
        "warmup_epochs 3 must end before the first milestone, epoch 2",
    ),
    "labels of nothing": ("rows: [{label_smoothing: 1}]\n", "must be between 0 and below 1, got 1"),
    "ghost batches that leave a rest": (
        "rows: [{batch_size: 96, ghost_batch_size: 64}]\n",
        "batch_size 96 must be a multiple of ghost_batch_size 64",
    ),
    "cutout below 0": ("rows: [{cutout_size: -1}]\n", "cutout_size must be at least 0, got -1"),
    "mixup a word": ("rows: [{mixup_alpha: yes}]\n", "mixup_alpha must be a number, got 'yes'"),
    "impossible depth": ("rows: [{model: resnet_21}]\n", "try resnet_20"),
    "unknown model": ("rows: [{model: vgg_16}]\n", "unknown model 'vgg_16'"),
    "no such data set": ("rows: [{dataset: cifar100}]\n", "no data set 'cifar100'"),
    "subset too large": ("rows: [{train_subset: 99999}]\n", "train_subset 99999 is larger"),
    "two data sets": ("rows: [{dataset: digits}, {dataset: cifar10}]\n", "a sweep has one data set"),
    "empty grid": ("grid: {lr: []}\n", "grid.lr: is empty"),
    "no trials": ("defaults: {lr: 0.1}\n", "needs rows or grid"),
    "repeats 0": ("rows: [{lr: 0.1}]\nrepeats: 0\n", "repeats"),
    "repeats a word": (
        "rows: [{lr: 0.1}]\nrepeats: many\n",
        "repeats: must be a whole number or a mapping",
    ),
    "name that leads out": ("rows: [{lr: 0.1}]\nname: ../../etc\n", "is not a valid name"),
    "not a mapping": ("- lr: 0.1\n", "a space is a mapping"),
    "broken YAML": ("rows: [{lr: 0.1\n", "not valid YAML"),
    "key twice": ("rows: [{lr: 0.1}]\nrows: [{lr: 0.2}]\n", "is given twice"),
    "YAML tag": ("rows: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    "derive syntax": ("rows: [{base_lr: 1}]\nderive: {lr: 'base_lr *'}\n", "cannot read the expression"),
    "derive by zero": ("rows: [{base_lr: 0}]\nderive: {lr: '1 / base_lr'}\n", "cannot be computed"),
    "derive with code": ("rows: [{lr: 1}]\nderive: {epochs: '__import__(1)'}\n", "no function '__import__'"),
    "derived and given": ("rows: [{lr: 1}]\nderive: {lr: '2'}\n", "is derived too"),
    "empty file": ("", "this file is empty"),
}


@pytest.mark.parametrize("mistake", SPACE_MISTAKES)
def test_a_wrong_space_is_refused(
    mistake: str, space: Write, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, hint = SPACE_MISTAKES[mistake]
    message = refused(["run", str(space(text)), "--store", str(store)], capsys)
    assert hint in message
    assert not store.exists()
    assert not any(Path.cwd().iterdir())


OPTION_MISTAKES = {
    "no such space": (["run", "quikstart"], "did you mean 'quickstart'?"),
    "no such file": (["run", "missing.yaml"], "cannot read missing.yaml"),
    "--set without =": (["run", "SPACE", "--set", "lr"], "write key=value"),
    "--set unknown": (["run", "SPACE", "--set", "lrr=1"], "did you mean 'lr'?"),
    "--set wrong": (["run", "SPACE", "--set", "lr=0"], "--set: lr must be greater than 0"),
    "--set of a fixed field": (["run", "SPACE", "--set", "recipe_version=2"], "cannot be set"),
    "--name empty": (["run", "SPACE", "--name", ""], "must not be empty"),
    "train, model twice": (["train", "resnet_8", "--set", "model=resnet_14"], "give it once"),
    "--name that leads out": (["run", "SPACE", "--name", "../up"], "cannot name a sweep"),
    "--name of the trials": (["run", "SPACE", "--name", "trials"], "cannot name a sweep"),
    "--data missing": (["run", "SPACE", "--data", "nowhere"], "--data nowhere: no such folder"),
    "--data a file": (["run", "SPACE", "--data", "SPACE"], "is a file"),
    "--label without --data": (["run", "SPACE", "--label", "fine_label"], "give --data, too"),
    "plan, --label without --data": (["plan", "SPACE", "--label", "fine_label"], "give --data, too"),
    "train, --label without --data": (["train", "resnet_8", "--label", "fine_label"], "give --data, too"),
    "--label empty": (["run", "SPACE", "--data", ".", "--label", ""], "must not be empty"),
    "--data without images": (["run", "SPACE", "--data", "."], "holds neither"),
    "--cpus-per-trial 0": (["run", "SPACE", "--cpus-per-trial", "0"], "must be greater than 0"),
    "--cpus-per-trial nan": (["run", "SPACE", "--cpus-per-trial", "nan"], "must be a number"),
    "--gpus-per-trial 1.5": (["run", "SPACE", "--gpus-per-trial", "1.5"], "a fraction below 1 or a whole number"),
    "--min-nodes without a cluster": (["run", "SPACE", "--min-nodes", "2"], "--min-nodes 2: needs the --address"),
    "--to a URI": (["plot", "published", "--to", "s3://bucket"], "s3://bucket is a URI"),
    "--to where root cannot write": (["report", "x", "--to", "/proc/x"], "cannot write to /proc/x"),
    "--to a user's who is not there": (["report", "x", "--to", "~no-such-user/x"], "there is no such user"),
    "no such figure": (["plot", "published", "--figure", "heatmap"], "did you mean 'heat_map'?"),
    "--max-concurrent -1": (["run", "SPACE", "--max-concurrent", "-1"], "whole number"),
    "no command": ([], "required"),
    "no such command": (["rnu"], "did you mean 'run'?"),
    "a command of W&B": (["sweep", "x.yaml"], "did you mean 'run'?"),
    "no such option": (["status", "--stroe", "x"], "no option --stroe: did you mean '--store'?"),
    "an option before the command": (["--store", "x", "list"], "no option --store: options follow the command"),
    "no such choice": (["replay", "x", "--scheduler", "ahsa"], "'ahsa' is unknown: did you mean 'asha'?"),
    "no such sweep": (["table", "quickstart"], "no sweep 'quickstart'"),
    "status of no sweep": (["status", "quickstart"], "no sweep 'quickstart'"),
    "export of no sweep": (["export", "quickstart"], "no sweep 'quickstart'"),
    "train, no such model": (["train", "resnet_9"], "depth must be 6n+2"),
    "train, wrong field": (["train", "resnet_8", "--set", "lr=abc"], "lr must be a number, got 'abc'"),
    "train, --threads 0": (["train", "resnet_8", "--threads", "0"], "whole number"),
}


@pytest.mark.parametrize("mistake", OPTION_MISTAKES)
def test_a_wrong_option_is_refused(
    mistake: str, space: Write, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, hint = OPTION_MISTAKES[mistake]
    path = str(space(GOOD))
    arguments = [path if argument == "SPACE" else argument for argument in arguments]
    takes_store = bool(arguments) and arguments[0] in ("run", "table", "status", "export", "train")
    message = refused([*arguments, "--store", str(store)] if takes_store else arguments, capsys)
    assert hint in message
    assert not store.exists()


def test_an_unreadable_file_is_refused(space: Write, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = space(GOOD)
    path.unlink()
    path.mkdir()  # permissions do not stop root, a folder in the file's place stops everybody
    assert "cannot read" in refused(["run", str(path), "--store", str(store)], capsys)


def test_a_store_that_is_a_file_is_refused(space: Write, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write_text("")
    assert "is a file: give the folder" in refused(["run", str(space(GOOD)), "--store", str(store)], capsys)


def test_a_store_below_a_file_is_refused(space: Write, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write_text("")
    message = refused(["run", str(space(GOOD)), "--store", str(store / "below")], capsys)
    assert "cannot write to the store" in message


@pytest.mark.parametrize("content", [b"", b"PAR1 not really"])
def test_a_truncated_data_file_is_named(
    content: bytes, space: Write, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}-0.parquet").write_bytes(content)
    message = refused(["run", str(space(GOOD)), "--data", str(folder), "--store", str(store)], capsys)
    assert "train-0.parquet is truncated" in message
    assert not store.exists()


def test_a_full_disk_behind_the_output_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "tune_main.py"), "spaces"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "batchscape: No space left on device: standard output\n"


MISFITS = {
    "run": (["run", "cifar10_smoke", "--set", "batch_size=60000"], "larger than the 10000 training images"),
    "run --compile": (["run", "cifar10_smoke", "--compile"], "gains nothing on a CPU"),
    "train --compile": (["train", "resnet_8", "--compile"], "gains nothing on a CPU"),
    "a folder that only a kernel writes to": (["run", "cifar10_smoke", "--store", "/proc/x"], "cannot write to the"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_cannot_be_is_refused_before_images_are_loaded(
    misfit: str, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for module in ("sweep.preparation", "trainable.data.sources"):
        monkeypatch.setattr(f"{module}.load_dataset", None)
    arguments, hint = MISFITS[misfit]
    assert hint in refused(arguments if "--store" in arguments else [*arguments, "--store", str(store)], capsys)


def test_a_store_that_cannot_be_made_is_refused_by_train(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "resnet_8", "--set", "epochs=1", "--store", "/proc/nothing"]
    assert "cannot write to" in refused(arguments, capsys)
