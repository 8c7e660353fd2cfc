"""A sweep with one fault per trial, which the command line then resumes: Ray starts once for all of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from results.parquet.collect import Collector
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from search_spaces.expansion import expand, tie_to_data
from search_spaces.loader import load_space
from tests.conftest import ROOT
from tests.malicious import Malicious
from tests.older_records import without_checksums
from trainable.data.sources import load_dataset
from trainable.device import prepare_device
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, CONFIG, EPOCHS, RESULT
from trainable.ledger.ledger import Ledger
from trainable.provenance import code_identity
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare

EPOCHS_BEFORE = 3
"""Epochs that a damaged trial had done; its two checkpoints are those after the last two."""
NUM_EPOCHS = 5
CPU = torch.device("cpu")
Damage = Callable[[Path], None]


def newest(folder: Path) -> Path:
    return max((folder / name for name in CHECKPOINTS), key=lambda path: path.stat().st_mtime_ns)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def damage_both_checkpoints(folder: Path) -> None:
    for name in CHECKPOINTS:
        truncate(folder / name)


def ran(folder: Path) -> Path:
    """The file that the malicious checkpoint would create."""
    return folder.parent.parent.parent / "ran"


def put_code_into_the_newest_checkpoint(folder: Path) -> None:
    """The checkpoint's checksum is right."""
    torch.save({"epochs_done": EPOCHS_BEFORE, "model": Malicious(ran(folder))}, folder / "state")
    newest(folder).unlink()
    with Ledger(folder, {}) as ledger:
        ledger.save_checkpoint((folder / "state").read_bytes())
    (folder / "state").unlink()


def tear_the_last_line(folder: Path) -> None:
    with (folder / EPOCHS).open("ab") as file:
        file.write(b'{"epoch": 4, "st')


def damage_the_second_line(folder: Path) -> None:
    lines = (folder / EPOCHS).read_bytes().splitlines(keepends=True)
    (folder / EPOCHS).write_bytes(b"".join([lines[0], b"\0" * len(lines[1]), *lines[2:]]))


def change_attempt(folder: Path, **values: object) -> None:
    attempt = json.loads(without_checksums((folder / ATTEMPTS).read_bytes()))
    (folder / ATTEMPTS).write_text(json.dumps({**attempt, **values}) + "\n")


def link_the_epochs(folder: Path) -> None:
    outside = folder.parent.parent.parent / "outside"
    (folder / EPOCHS).rename(outside)
    (folder / EPOCHS).symlink_to(outside)


def begin_with_other_code(folder: Path) -> None:
    change_attempt(folder, code="an0ther/c0de", versions={"torch": "1.0"})


def put_a_file_in_the_way(folder: Path) -> None:
    (folder / "tensorboard").rmdir()
    (folder / "tensorboard").write_text("a file where the event files are to lie")


def damage_the_attempts(folder: Path) -> None:
    (folder / ATTEMPTS).write_bytes(bytes(2))


BEGUN: dict[str, Damage] = {
    "the newest checkpoint is truncated": lambda folder: truncate(newest(folder)),
    "the newest checkpoint is altered": lambda folder: alter(newest(folder)),
    "both checkpoints are damaged": damage_both_checkpoints,
    "a checkpoint that holds code": put_code_into_the_newest_checkpoint,
    "a torn last line in epochs.jsonl": tear_the_last_line,
    "a damaged line within epochs.jsonl": damage_the_second_line,
    "a corrupt config.json": lambda folder: truncate(folder / CONFIG),
    "a corrupt attempts.jsonl": damage_the_attempts,
    "the clock was set back between two attempts": lambda folder: change_attempt(
        folder, start_time="2099-01-01T00:00:00.000000+00:00"
    ),
    "other code and library versions between two attempts": begin_with_other_code,
    "a symbolic link among a trial's files": link_the_epochs,
    "a trial raises": put_a_file_in_the_way,
}
"""What is done to a trial that was killed after some epochs."""
FINISHED: dict[str, Damage] = {"a corrupt result.json": lambda folder: truncate(folder / RESULT)}
"""What is done to a trial that was finished."""
DIVERGES = "a trial diverges"
NAMES = [*BEGUN, *FINISHED, DIVERGES]
NOT_TRAINED = ("a symbolic link among a trial's files", "a trial raises")


@dataclass(frozen=True, slots=True)
class Damaged:
    """The sweep after the command line has resumed it."""

    store: LocalStore
    manifest: Manifest
    expected: LocalStore
    """Every trial, uninterrupted and undamaged."""
    done: subprocess.CompletedProcess[str]

    def label(self, fault: str) -> str:
        return f"lr={self.manifest.trials[NAMES.index(fault)].config.lr:g}"

    def folder(self, fault: str) -> Path:
        return self.store.trial_folder(self.manifest.keys[NAMES.index(fault)])

    def rows(self, fault: str, *, expected: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The trial's row of `trials` and its rows of `epochs`."""
        key = self.manifest.keys[NAMES.index(fault)]
        if expected:
            tables = Collector(self.expected, self.manifest).tables()
        else:
            folder = self.store.sweep_folder(self.manifest.name)
            tables = pq.read_table(folder / "trials.parquet"), pq.read_table(folder / "epochs.parquet")
        trials, epochs = ([row for row in table.to_pylist() if row["trial_key"] == key] for table in tables)
        return trials[0], epochs


def damaged_sweep(folder: Path) -> Damaged:
    """Train every trial, damage a copy of it, and run the sweep."""
    space = folder / "faults.yaml"
    lrs = [0.01 * (1 + index) for index in range(len(NAMES) - 1)] + [1e18]
    space.write_text(
        "defaults: {model: resnet_preact_8, batch_size: 32, train_subset: 64, test_subset: 20, precision: fp32,"
        f" epochs: {NUM_EPOCHS}}}\ngrid: {{lr: {lrs}}}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHSCAPE_CACHE", str(folder / "cache"))
        data = load_dataset("digits", None)
        counts = len(data.train_labels), len(data.test_labels)
        loaded = load_space(str(space))
        trials = tie_to_data(expand(loaded, {}, None).trials, data.name, data.fingerprint, *counts)
        manifest = Manifest("faults", trials, loaded.source.text, {}, "code", None)
        store, expected = LocalStore(folder / "store"), LocalStore(folder / "expected")
        prepare_device(1, use_gpu=False)
        run = RunInfo("before", 1, code_identity(), checkpoint_share=float("inf"))
        for name, trial in zip(NAMES, trials, strict=True):
            prepared = prepare(data, trial.config, CPU)
            key = trial.config.trial_key
            session = TrialSession(trial.config, prepared, expected.trial_folder(key), CPU, run)
            num_epochs = 0
            while True:
                if num_epochs == EPOCHS_BEFORE and name in BEGUN:
                    shutil.copytree(expected.trial_folder(key), store.trial_folder(key))
                if session.next_epoch().ended:
                    break
                num_epochs += 1
            session.close()
            if name in FINISHED:
                shutil.copytree(expected.trial_folder(key), store.trial_folder(key))
            if name != DIVERGES:
                shutil.rmtree(store.trial_folder(key) / "tensorboard")
                (store.trial_folder(key) / "tensorboard").mkdir()
                (BEGUN | FINISHED)[name](store.trial_folder(key))
        (store.trial_folder(manifest.keys[0]) / ".checkpoint-0.99999").write_bytes(b"of a process that was killed")
        done = run_sweep(space, store)
    return Damaged(store, manifest, expected, done)


def run_sweep(space: Path, store: LocalStore) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), "--store", str(store.path)]
    return subprocess.run(command, cwd=space.parent, capture_output=True, text=True, timeout=300, check=False)
