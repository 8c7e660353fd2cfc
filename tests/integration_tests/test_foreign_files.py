"""What others put where a sweep writes, and a store that goes away while a sweep runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.damaged_sweep import Damaged
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import SPACE, InterruptedSweep, Start, end_of, tables, wait_for_epochs

pytestmark = pytest.mark.ray
NOBODY = 65534


@pytest.fixture
def crowded_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
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
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_a_store_that_goes_away_ends_the_run_and_comes_back_whole(
    tmp_path: Path, start: Start, cli: Cli, interrupted: InterruptedSweep, crowded_folder: Path
) -> None:
    space, store, moved = tmp_path / "small.yaml", tmp_path / "store", tmp_path / "moved" / "store"
    space.write_text(SPACE)
    driver = start(str(space), store)
    wait_for_epochs(store, 1)
    moved.parent.mkdir()
    store.rename(moved)
    ended = end_of(driver)
    assert ended.returncode == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "FAILED" not in ended.stdout
    assert not store.exists()
    data = "the place stays empty; the same command on the moved store gives the rows of an uninterrupted run"
    record("the store goes away during a run", user_sees(ended.stderr), ended.returncode, data)

    done = cli("run", str(space), "--store", str(moved))
    assert done.returncode == 0, done.stderr
    assert tables(moved) == tables(interrupted.store)
    assert sorted(path.name for path in crowded_folder.iterdir()) == ["batchscape-pipe", "batchscape-theirs"]
    seen = user_sees(done.stdout + done.stderr)
    record("another user's folder, or a pipe, among the temporary files", seen, done.returncode, "it is not touched")


def test_nothing_is_written_through_a_link_in_a_sweep(damaged: Damaged, cli: Cli, tmp_path: Path) -> None:
    store, outside = LocalStore(tmp_path / "store"), tmp_path / "outside"
    shutil.copytree(damaged.store.path, store.path, symlinks=True)
    outside.write_text("mine")
    (store.sweep_folder("faults") / "search.jsonl").symlink_to(outside)
    refused = cli("run", str(damaged.store.path.parent / "faults.yaml"), "--store", str(store.path))
    assert refused.stderr.count("\n") == 1
    assert outside.read_text() == "mine"
    record(
        "a symbolic link among a sweep's files", user_sees(refused.stderr), refused.returncode, "nothing is written"
    )
