"""Faults in a sweep's own files, and stores that cannot be written."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.damaged_sweep import Damaged, truncate
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, Start, tables, wait_for_epochs
from tests.older_records import without_checksums
from trainable.ledger.files import EPOCHS, WEIGHTS
from trainable.ledger.reading import read_trial

pytestmark = pytest.mark.ray


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
    content = without_checksums(manifest.read_bytes())  # whoever writes it can compute one
    manifest.write_bytes(content.replace(b'"name": "faults"', b'"name": "../../outside"'))
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


def test_a_corrupt_parquet_file_is_written_again(sweep: LocalStore, cli: Cli) -> None:
    path = sweep.sweep_folder("faults") / "trials.parquet"
    whole = pq.read_table(path)
    truncate(path)
    refused = cli("table", "faults", "--store", str(sweep.path))
    assert refused.stderr.count("\n") == 1
    assert cli("export", "faults", "--store", str(sweep.path)).returncode == 0
    assert pq.read_table(path) == whole
    data = "`export`, and every `run`, writes it again from the trials' folders"
    record("a corrupt Parquet file", user_sees(refused.stderr), refused.returncode, data)
    rows = whole.to_pylist()
    rows[0]["num_threads"] = 99
    pq.write_table(pa.Table.from_pylist(rows, schema=whole.schema), path)
    found = cli("verify", "faults", "--store", str(sweep.path))
    data = "`verify` computes every cell again from the trials' folders; `export`, and every `run`, writes it again"
    record("a changed cell in a Parquet file", user_sees(found.stdout, " differs in"), found.returncode, data)


def test_a_changed_digit_is_told_by_verify(sweep: LocalStore, cli: Cli) -> None:
    folder = next(folder for folder in sweep.all_trials() if len(read_trial(folder).epochs) > 1)
    line = (folder / EPOCHS).read_bytes().splitlines()[1]
    changed = line.replace(b'"step":', b'"step":1')
    (folder / EPOCHS).write_bytes((folder / EPOCHS).read_bytes().replace(line, changed))
    found = cli("verify", "faults", "--store", str(sweep.path))
    data = "the line and those after it are not believed; `verify --repair` drops them, `run` trains them again"
    record("a changed digit in epochs.jsonl", user_sees(found.stdout, " is damaged"), found.returncode, data)
    assert cli("verify", "faults", "--repair", "--store", str(sweep.path)).returncode == 0


def test_altered_weights_are_refused(sweep: LocalStore, cli: Cli, tmp_path: Path) -> None:
    path = next(folder / WEIGHTS for folder in sweep.all_trials() if (folder / WEIGHTS).exists())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    command = ("weights", "faults", path.parent.name, "--to", str(tmp_path / "copy"), "--store", str(sweep.path))
    refused = cli(*command)
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "copy").exists()
    data = "no result is lost; `verify` tells it, too, and `--repair` deletes the weights"
    record("altered weights", user_sees(refused.stderr), refused.returncode, data)


def test_swapped_folders_are_told_by_verify(sweep: LocalStore, cli: Cli) -> None:
    first, second, *_ = sweep.all_trials()
    for source, target in ((first, sweep.path / "aside"), (second, first), (sweep.path / "aside", second)):
        source.rename(target)
    found = cli("verify", "faults", "--store", str(sweep.path))
    assert found.stdout.count(" is of the trial ") == 2
    data = "neither is believed; with their names given back nothing is lost"
    record("two trials' folders are swapped", user_sees(found.stdout, f"{first}/"), found.returncode, data)


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


def test_a_full_temporary_folder_is_refused(
    small_disk: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    refused = cli("run", "quickstart", "--store", str(tmp_path / "store"))
    assert refused.stderr.count("\n") == 1
    assert f"the temporary folder {small_disk} has " in refused.stderr
    assert list(small_disk.iterdir()) == []
    record("the temporary folder is full", user_sees(refused.stderr), refused.returncode, "nothing is trained")


@pytest.mark.faults
def test_a_full_disk_ends_the_run_and_costs_nothing_but_time(
    small_disk: Path, tmp_path: Path, start: Start, cli: Cli
) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(
        "defaults: {model: resnet_preact_8, batch_size: 32, train_subset: 128, test_subset: 20, epochs: 24}\n"
        "grid: {lr: [0.1, 0.05]}\n"
    )
    store, filler = small_disk / "store", small_disk / "filler"
    driver = start(str(space), store)
    wait_for_epochs(store, 4)
    with pytest.raises(OSError, match="No space"), filler.open("wb") as file:
        while True:
            file.write(b"\0" * 2**16)
            file.flush()
    output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    assert errors.count("\n") == 1, errors
    assert f"the file system {small_disk} has " in errors
    assert "FAILED" not in output
    assert "next:" not in output
    assert all(len(read_trial(folder).attempts) <= 1 for folder in store.glob("trials/*"))
    assert list(store.rglob(".*")) == []
    pq.read_table(store / "small" / "trials.parquet")
    filler.unlink()
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert max(len(read_trial(folder).attempts) for folder in store.glob("trials/*")) == 2
    whole = cli("run", str(space), "--store", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    assert tables(store) == tables(tmp_path / "whole")
    data = "what was trained is kept; after room was made, the same command gives the rows of an uninterrupted run"
    record("the disk is full", user_sees(errors), driver.returncode, data)
