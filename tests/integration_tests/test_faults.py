"""Faults in a store, on real processes: what the user is told, and what becomes of the data.

All damage to trials lies in one sweep, a fault a trial, which the command line then goes on with; so Ray starts once,
and once more when what stopped two of them has gone.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from results.parquet.collect import Collector
from results.store.local_store import LocalStore
from results.store.manifest import Manifest, new_manifest
from search_spaces.expansion import expand, tie_to_data
from search_spaces.loader import load_space
from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.killed_sweep import CLOCKS
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, Start, tables, wait_for_epochs
from trainable.data.sources import load_dataset
from trainable.device import prepare_device
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, CONFIG, EPOCHS, RESULT
from trainable.ledger.ledger import Ledger
from trainable.provenance import code_identity
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare

pytestmark = pytest.mark.ray

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


class Malicious:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def ran(folder: Path) -> Path:
    """The file that the malicious checkpoint would create."""
    return folder.parent.parent.parent / "ran"


def put_code_into_the_newest_checkpoint(folder: Path) -> None:
    """With a checksum that fits."""
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
    attempt = json.loads((folder / ATTEMPTS).read_bytes())
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
    """The sweep after the command line has gone on with it."""

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


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """Without what clocks, attempts and damage say."""
    apart = {*CLOCKS, "damage", "attempts_differ", "code", "versions"}
    return {name: value for name, value in row.items() if name not in apart}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    folder = tmp_path_factory.mktemp("damaged")
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
        manifest = new_manifest("faults", trials, loaded.source.text, {}, "code", None)
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
        done = go_on(space, store)
    yield Damaged(store, manifest, expected, done)


def go_on(space: Path, store: LocalStore) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), "--store", str(store.path)]
    return subprocess.run(command, cwd=space.parent, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def mended(damaged: Damaged) -> Damaged:
    """The same sweep once more, after what was in the way of the trials that were not trained has gone."""
    folder = damaged.store.path.parent
    store = LocalStore(folder / "mended" / "store")
    shutil.copytree(damaged.store.path, store.path)  # with the contents of the linked file
    blocked = store.trial_folder(damaged.manifest.keys[NAMES.index("a trial raises")])
    (blocked / "tensorboard").unlink()
    return Damaged(store, damaged.manifest, damaged.expected, go_on(folder / "faults.yaml", store))


@pytest.mark.parametrize("fault", [name for name in NAMES if name not in NOT_TRAINED])
def test_a_damaged_trial_comes_out_as_an_undamaged_one(fault: str, damaged: Damaged) -> None:
    trial, epochs = damaged.rows(fault)
    expected_trial, expected_epochs = damaged.rows(fault, expected=True)
    assert figures(trial) == figures(expected_trial)
    assert [figures(row) for row in epochs] == [figures(row) for row in expected_epochs]
    first = trained_before(fault, damaged)
    data = f"{first} of the {len(epochs)} epochs are kept" if fault in BEGUN else f"{len(epochs)} epochs are trained"
    data += ", the rows are those of an uninterrupted run"
    if trial["status"] != "COMPLETE":
        data = f"the row says {trial['status']}, without a final error"
    for column in ("damage", "attempts_differ"):
        if trial[column]:
            data += f"; the column `{column}` tells"
    lines = user_sees(damaged.done.stdout + damaged.done.stderr, about=f"{damaged.label(fault)}:")
    record(fault, lines, 0, data)


def trained_before(fault: str, damaged: Damaged) -> int:
    """Epochs whose rows are, clocks included, those from before the damage."""
    before, now = damaged.rows(fault, expected=True)[1], damaged.rows(fault)[1]
    return sum(row in before for row in now)


@pytest.mark.parametrize("fault", NOT_TRAINED)
def test_a_trial_that_cannot_be_trained_stops_no_other(fault: str, damaged: Damaged) -> None:
    trial, epochs = damaged.rows(fault)
    lines = user_sees(damaged.done.stdout + damaged.done.stderr, about=f"{damaged.label(fault)}:")
    record(fault, lines, damaged.done.returncode, f"the row says {trial['status']}; {len(epochs)} epochs are kept")
    assert damaged.done.returncode == 1


def test_a_failed_trial_is_one_line_and_tried_once(damaged: Damaged) -> None:
    key = damaged.folder("a trial raises").name
    assert damaged.done.stderr.startswith(f"failed {key}: FileExistsError")
    assert damaged.done.stderr.count("\n") == 1
    trial, _ = damaged.rows("a trial raises")
    assert (trial["status"], trial["attempts"]) == ("FAILED", 2)  # the first is that from before


def test_why_a_trial_failed_is_one_command_away(damaged: Damaged, cli: Cli) -> None:
    folder, store = damaged.folder("a trial raises"), ("--store", str(damaged.store.path))
    hint = f"logs: python tune_main.py logs {folder.name} --store {damaged.store.path}\n"
    assert hint in damaged.done.stdout
    logs = cli("logs", folder.name[:8], *store).stdout
    heading, attempt, trace, *_, error = logs.splitlines()
    assert heading.startswith(f"{folder.name}  model=resnet_preact_8 ")
    assert " FAILED: FileExistsError: [Errno 17]" in heading
    assert attempt.startswith("--- attempt 2 of 2, ")
    assert trace == "Traceback (most recent call last):"
    assert error.startswith("FileExistsError: [Errno 17]")
    assert cli("logs", "--failed", "--sweep", "faults", *store).stdout == logs
    names = {path.parent.name for path in damaged.store.trials_folder.glob("*/log-*.txt")}
    assert names == {folder.name}  # nobody else has anything to say


def test_failed_and_diverged_trials_stand_in_the_table(damaged: Damaged, cli: Cli) -> None:
    table = cli("table", "faults", "--store", str(damaged.store.path)).stdout
    assert "failed" in table
    assert "diverged" in table


def test_failed_trials_are_tried_again(mended: Damaged) -> None:
    assert mended.done.returncode == 0, mended.done.stderr
    num_done = len(NAMES) - len(NOT_TRAINED)
    heading = f"faults: {len(NAMES)} trials on digits, {num_done} done, {len(NOT_TRAINED)} to resume, 0 to train\n"
    assert mended.done.stdout.startswith(heading)
    for fault in NAMES:
        (trial, epochs), (expected_trial, expected_epochs) = mended.rows(fault), mended.rows(fault, expected=True)
        assert figures(trial) == figures(expected_trial)
        assert [figures(row) for row in epochs] == [figures(row) for row in expected_epochs]


def test_a_damaged_checkpoint_is_reported_in_the_row_and_on_the_screen(damaged: Damaged) -> None:
    fault = "the newest checkpoint is truncated"
    assert damaged.rows(fault)[0]["damage"] == f"damaged: checkpoint-0; resumed after epoch {EPOCHS_BEFORE - 1}"
    assert f"{damaged.label(fault)}: damaged: checkpoint-0; resumed after epoch 2" in damaged.done.stdout
    assert damaged.rows("a torn last line in epochs.jsonl")[0]["damage"] is None


def test_no_code_in_a_checkpoint_is_run(damaged: Damaged) -> None:
    fault = "a checkpoint that holds code"
    assert "checkpoint-0 (this code cannot load it)" in damaged.rows(fault)[0]["damage"]
    assert not ran(damaged.folder(fault)).exists()


def test_the_malicious_checkpoint_would_have_run(tmp_path: Path) -> None:
    """Else the test above shows nothing."""
    torch.save(Malicious(tmp_path / "ran"), tmp_path / "state")
    torch.load(tmp_path / "state", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_nothing_is_written_through_a_link(damaged: Damaged) -> None:
    outside = damaged.folder("a symbolic link among a trial's files").parent.parent.parent / "outside"
    assert len(outside.read_bytes().splitlines()) == EPOCHS_BEFORE


def test_attempts_on_other_code_can_be_told(damaged: Damaged) -> None:
    trial, _ = damaged.rows("other code and library versions between two attempts")
    differing = json.loads(trial["attempts_differ"])
    assert differing["code"] == ["an0ther/c0de", trial["code"]]
    assert differing["versions"] == [{"torch": "1.0"}, json.loads(trial["versions"])]


def test_no_trial_ends_before_it_began(damaged: Damaged) -> None:
    trial, epochs = damaged.rows("the clock was set back between two attempts")
    assert trial["end_time"] >= trial["start_time"]
    assert min(row["train_seconds"] for row in epochs) > 0
    assert trial["total_seconds"] > 0


def test_what_a_killed_process_left_half_written_is_removed(damaged: Damaged) -> None:
    assert list(damaged.store.path.rglob(".*")) == []


# Damage to the sweep's own files: no Ray is needed to see it.


@pytest.fixture
def sweep(damaged: Damaged, tmp_path: Path) -> LocalStore:
    """A copy of the sweep, to be spoilt."""
    shutil.copytree(damaged.store.path, tmp_path / "store", symlinks=True)
    return LocalStore(tmp_path / "store")


def test_a_corrupt_sweep_file_is_named_and_its_trials_are_kept(sweep: LocalStore, damaged: Damaged, cli: Cli) -> None:
    manifest = sweep.sweep_folder("faults") / "sweep.json"
    truncate(manifest)
    refused = cli("status", "faults", "--store", str(sweep.path))
    assert refused.stderr.count("\n") == 1
    manifest.unlink()
    keys = [path.name for path in sweep.trials_folder.iterdir()]
    assert sorted(keys) == sorted(damaged.manifest.keys)
    record("a corrupt sweep.json", user_sees(refused.stderr), refused.returncode, "the trials are kept")


def test_a_sweep_file_cannot_lead_out_of_the_store(sweep: LocalStore, cli: Cli, tmp_path: Path) -> None:
    manifest = sweep.sweep_folder("faults") / "sweep.json"
    manifest.write_text(manifest.read_text().replace('"name": "faults"', '"name": "../../outside"'))
    before = sorted(tmp_path.rglob("*"))
    for command in ("status", "export"):
        refused = cli(command, "faults", "--store", str(sweep.path))
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    record(
        "another sweep's name in a sweep.json", user_sees(refused.stderr), refused.returncode, "nothing is written"
    )


def test_a_report_replaces_a_link_and_leaves_its_target(sweep: LocalStore, cli: Cli, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    for name in ("report.html", "report.md", "trials.parquet", "README.md"):
        (sweep.sweep_folder("faults") / name).unlink(missing_ok=True)
        (sweep.sweep_folder("faults") / name).symlink_to(outside)
    for command in ("export", "report"):
        done = cli(command, "faults", "--store", str(sweep.path))
        assert done.returncode == 0, done.stderr
    assert outside.read_text() == "mine"


def test_a_corrupt_parquet_file_is_made_anew(sweep: LocalStore, cli: Cli) -> None:
    path = sweep.sweep_folder("faults") / "trials.parquet"
    whole = pq.read_table(path)
    truncate(path)
    refused = cli("table", "faults", "--store", str(sweep.path))
    assert refused.stderr.count("\n") == 1
    assert cli("export", "faults", "--store", str(sweep.path)).returncode == 0
    assert pq.read_table(path) == whole
    data = "`export`, and every `run`, writes it again from the trials' folders"
    record("a corrupt Parquet file", user_sees(refused.stderr), refused.returncode, data)


# Places that cannot be written.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips, and says so, where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here (root can): {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_store_is_refused_and_can_be_read(small_disk: Path, damaged: Damaged, cli: Cli) -> None:
    store = small_disk / "store"
    shutil.copytree(damaged.store.path, store, symlinks=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    space = damaged.store.path.parent / "faults.yaml"
    refused = cli("run", str(space), "--store", str(store))
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    for command in ("status", "table"):
        assert cli(command, "faults", "--store", str(store)).returncode == 0
    record(
        "the store is read-only",
        user_sees(refused.stderr),
        refused.returncode,
        "`status`, `table` and all that only reads goes on",
    )


@pytest.mark.faults
def test_a_full_disk_ends_the_run_and_costs_nothing_but_time(
    small_disk: Path, tmp_path: Path, start: Start, cli: Cli
) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(
        "defaults: {model: resnet_preact_8, batch_size: 32, train_subset: 256, test_subset: 20, epochs: 40}\n"
        "grid: {lr: [0.1, 0.05]}\n"
    )
    store, filler = small_disk / "store", small_disk / "filler"
    driver = start(str(space), store)
    wait_for_epochs(store, 4)
    with pytest.raises(OSError, match="No space"), filler.open("wb") as file:
        while True:
            file.write(b"\0" * 2**16)
            file.flush()
    _, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    assert errors.count("\n") == 1, errors
    assert list(store.rglob(".*")) == []
    pq.read_table(store / "small" / "trials.parquet")
    filler.unlink()
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    whole = cli("run", str(space), "--store", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    assert tables(store) == tables(tmp_path / "whole")
    data = "what was trained is kept; after room was made, the same command gives the rows of an uninterrupted run"
    record("the disk is full", user_sees(errors), driver.returncode, data)
