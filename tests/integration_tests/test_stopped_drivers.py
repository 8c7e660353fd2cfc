"""Drivers that are stopped, lose their sweep to another, and wake up: at random moments, with real signals."""

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from results.store.opening import open_store
from results.store.store import Store
from tests.conftest import ROOT
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.made_up_driver import NAME, QUICK, events
from tests.integration_tests.processes import family, kill
from tests.integration_tests.running_sweeps import search_on_digits
from tests.s3_server import S3Server
from tests.sweep_tests.driven_searches import drive
from trainable.errors import UserError

MAX_SECONDS = 0.5
"""Longest time until a driver is stopped, and until it wakes up after another has begun."""
PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def as_soon_as_free(store: Store, name: str) -> Iterator[None]:
    """Drive a sweep that another driver has left; the server's whole seconds do not tell exactly when it may."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(store.driving(store.manifest(name)))
                break
            except UserError as error:
                assert "another process is running" in str(error)
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield


def take_over(uri: str, run_id: str, stopped: subprocess.Popen[str], random_: np.random.RandomState) -> list[str]:
    """Drive the sweep as soon as it is free, and wake the stopped driver up meanwhile; return the events."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    wakes_before = random_.randint(30)
    written: list[str] = []
    while not written:
        assert time.monotonic() < deadline, "the sweep does not become free"
        try:
            for number, event in enumerate(events(uri, run_id, range(20))):
                written.append(event)
                if number == wakes_before:
                    stopped.send_signal(signal.SIGCONT)
        except UserError as error:
            assert "another process is running" in str(error)
    stopped.send_signal(signal.SIGCONT)
    return written


def play_round(s3: S3Server, log: Path, seed: int) -> None:
    """One driver is stopped, a second takes over, and a third follows."""
    random_ = np.random.RandomState(seed)
    uri = f"s3://{s3.new_bucket()}/store"
    command = [sys.executable, "-m", "tests.integration_tests.made_up_driver", uri, "first"]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as first,
    ):
        while not log.read_text():
            assert first.poll() is None
            time.sleep(0.01)
        time.sleep(random_.uniform(0, MAX_SECONDS))
        first.send_signal(signal.SIGSTOP)
        written = take_over(uri, "second", first, random_)
        _, errors = first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 1, errors
    assert errors.count("\n") == 1
    assert "run" in errors
    known = [line for line in log.read_text().splitlines() if line]
    written += events(uri, "third", range(5))
    lines = open_store(uri).search_log(NAME).read().decode().splitlines()
    assert lines[: len(known)] == known, f"seed {seed}: events of the first are lost"
    assert lines[-len(written) :] == written, f"seed {seed}: events of its successors are lost"
    unacknowledged = lines[len(known) : -len(written)]
    assert unacknowledged in ([], [f"first {len(known)}"])


@pytest.mark.parametrize(
    "seeds", [range(1), pytest.param(range(1, 51), marks=pytest.mark.faults)], ids=["short", "50 rounds"]
)
def test_no_event_is_lost(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> None:
    monkeypatch.setattr("results.store.lease.TIMING", QUICK)
    for seed in seeds:
        play_round(s3, tmp_path / f"{seed}.txt", seed)


SPACE = """
name: searched
defaults: {model: resnet_preact_8, epochs: 2, train_subset: 64, test_subset: 10, precision: fp32, batch_size: 16}
search: {algorithm: random, num_trials: NUM_TRIALS}
parameters: {lr: {min: 0.01, max: 0.5, distribution: log_uniform_values}}
"""
DRIVER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from results.store import lease
lease.TIMING = lease.{QUICK!r}
from cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=""))  # short: Ray's sockets lie below it
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
def test_a_search_that_was_taken_over_is_left_alone(
    s3: S3Server, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.store.lease.TIMING", QUICK)
    store = open_store(f"s3://{s3.new_bucket()}/store")
    small, large = tmp_path / "small.yaml", tmp_path / "large.yaml"
    small.write_text(SPACE.replace("NUM_TRIALS", "8"))
    large.write_text(SPACE.replace("NUM_TRIALS", "12"))
    options = ["--store", store.location(), "--max-concurrent", "1"]
    with (
        subprocess.Popen(
            [sys.executable, "-c", DRIVER, "run", str(small), *options],
            cwd=scratch,
            env=os.environ | {"TMPDIR": str(scratch)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as driver,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(lambda: kill(list(family(driver.pid))))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while store.search_log("searched").read().count(b'"end"') < 2:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        driver.send_signal(signal.SIGSTOP)
        with as_soon_as_free(store, "searched"):
            drive(search_on_digits(large, store))
        theirs = store.search_log("searched").read()
        assert theirs.count(b'"end"') == 12
        processes = family(driver.pid)
        driver.send_signal(signal.SIGCONT)
        output, errors = driver.communicate(timeout=60)
    assert store.search_log("searched").read() == theirs
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert "trials done" not in output
    assert errors.count("\n") == 1
    if "another run may have taken the sweep" in errors:
        return  # stopped while it renewed the lease: it has overwritten the record that would name the other run
    seen = re.sub(r"\d{4}-\S+ \S+ UTC", "TIME", errors.replace(f"on {platform.node()},", "on HOST,"))
    record(
        "a driver stands still, and another takes its sweep in a bucket over",
        user_sees(seen),
        driver.returncode,
        "the sweep is the other's: nothing of it is lost, and the first writes nothing more when it wakes up",
    )
