"""The temporary folders of runs, beside those of other users and what else has such a name."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.driver import scratch
from sweep.driver.scratch import MAX_PATH_BYTES, STARTING_SECONDS, scratch_folder, short_path
from tests.conftest import ROOT
from tests.other_process import locked
from trainable.errors import UserError

NOBODY = 65534
START = """
import os, sys, tempfile
from sweep.driver.scratch import scratch_folder
tempfile.tempdir = sys.argv[1]
if len(sys.argv) > 2:
    os.seteuid(int(sys.argv[2]))
with scratch_folder() as folder:
    print(folder.parent, folder.stat().st_uid)
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A temporary folder that every user may write to."""
    folder = tmp_path
    while folder.stat().st_uid == os.geteuid() and folder != folder.parent:
        folder.chmod(0o755)
        folder = folder.parent
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o1777)
    return tmp_path / "temporary"


def start(temporary: Path, *uid: str) -> subprocess.CompletedProcess[str]:
    """A process that makes its temporary folder, as another user if a uid is given."""
    command = [sys.executable, "-c", START, str(temporary), *uid]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_another_users_folder_does_not_matter(temporary: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (temporary / "batchscape-theirs").mkdir(mode=0o700)
    (temporary / "batchscape-theirs" / "lock").touch()
    done = start(temporary, str(NOBODY))
    assert (done.returncode, done.stdout) == (0, f"{temporary} {NOBODY}\n"), done.stderr
    assert [path.name for path in temporary.iterdir()] == ["batchscape-theirs"]


def test_root_deletes_no_other_users_folder(temporary: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    lock = temporary / "batchscape-theirs" / "lock"
    lock.parent.mkdir(mode=0o700)
    lock.touch()
    os.chown(lock.parent, NOBODY, NOBODY)
    assert start(temporary).returncode == 0
    assert lock.exists()


def test_a_pipe_is_not_waited_for(temporary: Path) -> None:
    (temporary / "batchscape-1").mkdir()
    os.mkfifo(temporary / "batchscape-1" / "lock")
    os.mkfifo(temporary / "batchscape-2")
    done = start(temporary)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in temporary.iterdir()) == ["batchscape-1", "batchscape-2"]


def test_links_are_not_followed(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "lock").touch()
    (temporary / "batchscape-1").symlink_to(tmp_path / "outside")
    (temporary / "batchscape-2").mkdir()
    (temporary / "batchscape-2" / "lock").symlink_to(tmp_path / "outside" / "lock")
    assert start(temporary).returncode == 0
    assert (tmp_path / "outside" / "lock").exists()
    assert len(list(temporary.iterdir())) == 2


def test_only_those_of_killed_runs_are_deleted(temporary: Path) -> None:
    for name in (
        "batchscape-killed",
        "batchscape-living",
        "batchscape-starting",
        "batchscape-cut",
        "others",
    ):
        (temporary / name).mkdir()
    before = time.time() - STARTING_SECONDS - 1
    os.utime(temporary / "batchscape-cut", (before, before))
    for name in ("batchscape-killed", "batchscape-living", "others"):
        (temporary / name / "lock").touch()
    with locked(temporary / "batchscape-living" / "lock"):
        assert start(temporary).returncode == 0
    left = sorted(path.name for path in temporary.iterdir())
    assert left == ["batchscape-living", "batchscape-starting", "others"]


def test_a_run_that_is_killed_while_it_deletes_leaves_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, **options: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path) as folder:
        (folder / "ray").mkdir()
        monkeypatch.setattr("shutil.rmtree", killed)
    assert (folder / "lock").exists()


def test_a_long_path_gets_a_short_link_that_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("l" * 40) / "ray"
    folder.parent.mkdir()
    with short_path(folder) as short:
        assert len(str(short)) <= MAX_PATH_BYTES
        assert short.parent.stat().st_mode & 0o777 == 0o700
        (short / "file").touch()
        assert (folder / "file").exists()
    assert not short.parent.exists()
    assert (folder / "file").exists()
    with short_path(Path("/tmp/ray")) as same:  # noqa: S108
        assert str(same) == "/tmp/ray"  # noqa: S108
    monkeypatch.setattr(scratch, "SHORT_PARENT", Path("/proc"))
    with pytest.raises(UserError, match="set TMPDIR to a folder with a shorter name"), short_path(folder):
        pytest.fail("a link in /proc")
