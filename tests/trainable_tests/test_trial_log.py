"""What a trial's process writes is kept: its end, without secrets, also where the process is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.s3_server import SECRET, S3Server
from trainable.config import TrainConfig
from trainable.ledger import trial_log
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.ledger.remote_ledger import RemoteFolder, RemoteLedger
from trainable.ledger.trial_log import (
    CUT,
    KEPT_ATTEMPTS,
    MAX_BYTES,
    append,
    log_name,
    logs_among,
    logs_in,
    presentable,
)
from trainable.records import Attempt, EpochRecord, Status
from trainable.session import RunInfo, TrialSession, record_failure

MakeSession = Callable[..., TrialSession]
MakeRecord = Callable[[int], EpochRecord]
MakeAttempt = Callable[[int], Attempt]
OUTPUT = """
import ctypes, os, subprocess, sys
from pathlib import Path
from trainable.ledger.trial_log import TrialLog

print("before")
log = TrialLog(Path(sys.argv[1]), 1)
log.start()
print("from Python")
print("as an error", file=sys.stderr)
ctypes.CDLL(None).puts(b"from C")
ctypes.CDLL(None).fflush(None)
subprocess.run(["echo", "from a child"])
"""
"""A process that writes in four ways while its output is kept."""
KEPT = {"from Python", "as an error", "from C", "from a child"}


def run(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OUTPUT + code, str(folder)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kept(folder: Path, attempt: int = 1) -> str:
    return (folder / log_name(attempt)).read_text()


def test_all_that_a_process_writes_is_kept_and_the_rest_goes_where_it_went(tmp_path: Path) -> None:
    done = run(tmp_path, "log.close(); print('after')")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["before", "after"], "")
    assert set(kept(tmp_path).splitlines()) == KEPT


def test_a_killed_process_leaves_what_it_had_written(tmp_path: Path) -> None:
    done = run(tmp_path, "sys.stdout.flush(); os.kill(os.getpid(), 9)")
    assert done.returncode == -signal.SIGKILL
    assert set(kept(tmp_path).splitlines()) == KEPT


def test_what_aborts_a_process_is_kept(tmp_path: Path) -> None:
    """glibc, CUDA and a segmentation fault write to the stream directly, without Python."""
    done = run(tmp_path, "import faulthandler; faulthandler.enable(); os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in kept(tmp_path)


def test_the_end_of_much_output_is_kept(tmp_path: Path) -> None:
    run(tmp_path, f"print('x' * {3 * MAX_BYTES}); log.trim(); print('the end'); log.close()")
    content = (tmp_path / log_name(1)).read_bytes()
    assert len(content) == MAX_BYTES
    assert content.startswith(CUT)
    assert content.endswith(b"xx\nthe end\n")


def test_keys_are_not_kept(tmp_path: Path) -> None:
    code = "print(os.environ['AWS_SECRET_ACCESS_KEY'], os.environ['RAY_AUTH_TOKEN'], flush=True); log.trim()"
    for end in ("; os.kill(os.getpid(), 9)", "; log.close()"):
        run(tmp_path, code + end, AWS_SECRET_ACCESS_KEY=SECRET, AWS_ACCESS_KEY_ID="a-key", RAY_AUTH_TOKEN="0" * 64)
        assert SECRET not in kept(tmp_path)
        assert "0000" not in kept(tmp_path)
        assert "***" in kept(tmp_path)


def test_silence_leaves_no_file(tmp_path: Path) -> None:
    code = "from pathlib import Path; from trainable.ledger.trial_log import TrialLog; import sys\n"
    code += "log = TrialLog(Path(sys.argv[1]), 1); log.start(); log.trim(); log.close(); log.close()"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / log_name(1)).symlink_to(outside)
    append(folder / log_name(1), "theirs")
    assert outside.read_text() == "mine"
    assert logs_in(folder) == {}
    run(folder, "log.close()")
    assert outside.read_text() == "mine"
    assert set(kept(folder).splitlines()) == KEPT


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    done = run(tmp_path / "missing", "log.trim(); log.close(); print('after')")
    assert done.returncode == 0
    assert "after" in done.stdout


def test_the_latest_attempts_are_kept(tmp_path: Path) -> None:
    for attempt in range(2, KEPT_ATTEMPTS + 4):
        append(tmp_path / log_name(attempt), f"attempt {attempt}\n")
    log = trial_log.TrialLog(tmp_path, KEPT_ATTEMPTS + 4)
    log.start()
    os.write(1, b"the newest\n")
    log.close()
    assert list(logs_in(tmp_path)) == list(range(5, KEPT_ATTEMPTS + 5))


def test_names_of_logs() -> None:
    names = ["log-10.txt", "log-2.txt", "log-0.txt", "log-.txt", "log-1.txt.old", "../log-1.txt", "epochs.jsonl"]
    assert list(logs_among(names).items()) == [(2, "log-2.txt"), (10, "log-10.txt")]
    assert log_name(2) in logs_among([log_name(2)]).values()


def test_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lr")
    assert presentable(b"lr=0.1") == b"lr=0.1"


def fail(_: int) -> None:
    os.write(2, b"the step is about to break\n")
    raise RuntimeError("the step broke\nand this is why")


def test_a_failed_attempt_keeps_its_output_and_its_traceback(
    make_session: MakeSession, short_config: TrainConfig, tmp_path: Path
) -> None:
    session = make_session(short_config, keep_output=True)
    session.next_epoch()
    with pytest.raises(RuntimeError):
        session.next_epoch(fail)
    session.close()
    said, trace = kept(tmp_path / "trial").split("Traceback (most recent call last):")
    assert said == "the step is about to break\n"
    assert trace.endswith("RuntimeError: the step broke\nand this is why\n")
    assert 'File "trainable/session.py", line ' in trace  # a store holds no path of ours
    assert "in fail" in trace
    end = read_trial(tmp_path / "trial").end
    assert end is not None
    assert (end.status, end.error) == (Status.FAILED, "RuntimeError: the step broke")


def test_a_trial_trained_alone_keeps_its_traceback_and_its_terminal(
    make_session: MakeSession, short_config: TrainConfig, tmp_path: Path
) -> None:
    session = make_session(short_config)
    with pytest.raises(RuntimeError):
        session.next_epoch(fail)
    assert kept(tmp_path / "trial").startswith("Traceback (most recent call last):")


def test_a_quiet_trial_leaves_no_log(make_session: MakeSession, short_config: TrainConfig, tmp_path: Path) -> None:
    session = make_session(short_config, keep_output=True)
    while not session.next_epoch().ended:
        pass
    session.close()
    assert logs_in(tmp_path / "trial") == {}


def test_the_driver_speaks_for_a_process_that_could_not(short_config: TrainConfig, tmp_path: Path) -> None:
    run_info = RunInfo("run", num_threads=1, code="code")
    assert record_failure(tmp_path / "trial", short_config, run_info, "it died", "told by Ray: it was killed\n")
    assert kept(tmp_path / "trial") == "told by Ray: it was killed\n"


# In a bucket.


@pytest.fixture
def folder(s3: S3Server) -> RemoteFolder:
    return RemoteFolder(f"s3://{s3.new_bucket()}/store", "trials") / "key"


def in_bucket(folder: RemoteFolder, server: S3Server) -> dict[str, bytes]:
    """The logs there."""
    files = server.files(f"{folder.uri.removeprefix('s3://')}/{folder.name}")
    return {name: content for name, content in files.items() if name.startswith("log-")}


def test_a_log_is_pushed_with_the_epochs_and_before_the_end_without_keys(
    folder: RemoteFolder,
    s3: S3Server,
    make_record: MakeRecord,
    make_attempt: MakeAttempt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainable.ledger.remote_ledger.PUSH_SECONDS", 0.0)
    with RemoteLedger(folder, {"lr": 0.1}) as ledger:
        ledger.begin(make_attempt(1))
        (ledger.folder / log_name(1)).write_text(f"the key is {SECRET}\n")
        ledger.append(make_record(1))
        assert in_bucket(folder, s3) == {"log-1.txt": b"the key is ***\n"}
        append(ledger.folder / log_name(1), "and this is the end\n")
    assert in_bucket(folder, s3) == {"log-1.txt": b"the key is ***\nand this is the end\n"}


def test_what_a_killed_attempt_left_here_is_pushed_by_the_next(
    folder: RemoteFolder, s3: S3Server, make_attempt: MakeAttempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RemoteLedger(folder, {"lr": 0.1})
    first.begin(make_attempt(1))
    append(first.folder / log_name(1), "what it said\n")
    Ledger.close(first)  # the kernel frees the lock; nothing is pushed
    assert in_bucket(folder, s3) == {}
    with RemoteLedger(folder, {"lr": 0.1}) as second:
        second.begin(make_attempt(2))
    assert in_bucket(folder, s3) == {"log-1.txt": b"what it said\n"}
    s3.filesystem().delete_dir(f"{folder.uri.removeprefix('s3://')}/{folder.name}")
    with RemoteLedger(folder, {"lr": 0.1}) as another:  # another training: what lies here is not of it
        another.begin(make_attempt(3))
    assert in_bucket(folder, s3) == {}


def test_old_logs_go_there_too(folder: RemoteFolder, s3: S3Server, make_attempt: MakeAttempt) -> None:
    for number in range(1, KEPT_ATTEMPTS + 3):
        with RemoteLedger(folder, {"lr": 0.1}) as ledger:
            ledger.begin(make_attempt(number))
            append(ledger.folder / log_name(number), "words\n")
    assert list(logs_among(in_bucket(folder, s3))) == list(range(3, KEPT_ATTEMPTS + 3))
