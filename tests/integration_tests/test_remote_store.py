"""Whole sweeps in a store on an S3 server: killed, interrupted by the server, driven twice, read from elsewhere."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import kept_search
from tests.conftest import ROOT, Cli
from tests.s3_server import SECRET, S3Server
from trainable.ledger import CHECKPOINTS
from trainable.search_log import SEARCH_LOG

pytestmark = pytest.mark.ray

SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 6, train_subset: 512, test_subset: 100, precision: fp32, lr: 0.1}
grid: {batch_size: [32, 64]}
"""
SEARCH = """
name: wide
defaults: {model: resnet_preact_8, epochs: 9, train_subset: 160, test_subset: 20, precision: fp32}
search: {algorithm: tpe, num_trials: 4}
parameters: {lr: {min: 0.005, max: 1.0, distribution: log_uniform_values}, batch_size: {values: [16, 32]}}
scheduler: {type: asha, grace_epochs: 2, reduction_factor: 2}
confirm: {top: 1, repeats: 1}
"""
CLOCKS = {
    "train_seconds",
    "eval_seconds",
    "total_seconds",
    "images_per_second",
    "peak_memory_bytes",
    "attempts",
    "attempt",
    "start_time",
    "end_time",
}
"""Columns in which sweeps that are otherwise the same may differ."""


@dataclass(frozen=True)
class Place:
    """A store on the server, and how this test's machine reaches it."""

    bucket: str
    environment: dict[str, str]
    cache: Path
    scratch: Path

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/store"

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tune_main.py"), *arguments, "--store", self.uri]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finished(self, *arguments: str) -> str:
        """What the command prints; it succeeds without a word of complaint."""
        with self.command(*arguments) as process:
            output, errors = process.communicate(timeout=200)
        assert (process.returncode, errors) == (0, "")
        return output


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture(scope="module")
def make_place(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    scratches: list[Path] = []

    def make() -> Place:
        scratches.append(Path(tempfile.mkdtemp(prefix="")))  # short: Ray's sockets lie below it
        cache = tmp_path_factory.mktemp("cache")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= s3_server.environment | {"BATCHSCAPE_CACHE": str(cache), "TMPDIR": str(scratches[-1])}
        return Place(s3_server.new_bucket(), environment, cache, scratches[-1])

    yield make
    for scratch in scratches:
        shutil.rmtree(scratch, ignore_errors=True)


def without_clocks(folder: Path) -> tuple[pa.Table, pa.Table]:
    both = [pq.read_table(folder / f"{table}.parquet") for table in ("trials", "epochs")]
    trials, epochs = (table.drop_columns([c for c in table.column_names if c in CLOCKS]) for table in both)
    return trials, epochs


def rows(place: Place, server: S3Server, folder: Path) -> tuple[pa.Table, pa.Table]:
    """Both tables as they lie in the bucket."""
    folder.mkdir()
    for name, content in server.files(f"{place.bucket}/store/small").items():
        if name.endswith(".parquet"):
            (folder / name).write_bytes(content)
    return without_clocks(folder)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def with_secret(folder: Path) -> list[str]:
    """Files below the folder that contain the secret key."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or a socket
            if path.is_file() and SECRET.encode() in path.read_bytes():
                found.append(str(path))
    return found


@pytest.fixture(scope="module")
def expected(space: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Of the same sweep in a local store."""
    store = tmp_path_factory.mktemp("local") / "store"
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", space, "--store", str(store)]
    subprocess.run(command, capture_output=True, timeout=200, check=True)
    return without_clocks(store / "small")


@dataclass(frozen=True)
class Eventful:
    """A sweep on the server, and what happened while it ran."""

    place: Place
    output: str
    second_driver: tuple[int, str]
    """Exit status and complaint."""
    status_meanwhile: dict[str, object]
    secrets_meanwhile: list[str]


@pytest.fixture(scope="module")
def eventful(space: str, make_place: Callable[[], Place], s3_server: S3Server) -> Eventful:
    place = make_place()
    with place.command("run", space) as driver:
        wait_for(lambda: any("config.json" in name for name in s3_server.files(place.bucket)), "a trial")
        with place.command("run", space) as second:
            _, complaint = second.communicate(timeout=60)
        status = json.loads(place.finished("status", "small", "--json"))
        secrets = with_secret(place.scratch) + with_secret(place.cache)
        s3_server.down()
        time.sleep(4.0)
        s3_server.up()
        output, errors = driver.communicate(timeout=200)
    assert (driver.returncode, errors) == (0, "")
    return Eventful(place, output, (second.returncode, complaint), status, secrets)


def test_a_sweep_in_a_bucket_is_the_sweep_in_a_folder(
    eventful: Eventful, expected: tuple[pa.Table, pa.Table], s3_server: S3Server, tmp_path: Path
) -> None:
    """Although the server was away for seconds in the middle of it."""
    assert rows(eventful.place, s3_server, tmp_path / "rows") == expected
    assert f"results in {eventful.place.uri}/small\n" in eventful.output
    assert f"next: python tune_main.py table small --store {eventful.place.uri}\n" in eventful.output


def test_a_finished_sweep_leaves_no_lease_and_no_checkpoints(eventful: Eventful, s3_server: S3Server) -> None:
    names = {name.rpartition("/")[2] for name in s3_server.files(f"{eventful.place.bucket}/store")}
    names = {name for name in names if not name.startswith("events.out.tfevents")}
    trial = {"config.json", "attempts.jsonl", "epochs.jsonl", "result.json"}
    assert names == trial | {"sweep.json", "trials.parquet", "epochs.parquet", "runs.jsonl"}


def test_a_second_driver_is_refused(eventful: Eventful) -> None:
    status, complaint = eventful.second_driver
    assert status == 2
    assert "another process is running the sweep 'small'" in complaint
    assert complaint.count("\n") == 1
    assert eventful.status_meanwhile["driver_running"]


def test_the_secret_is_written_nowhere(eventful: Eventful, s3_server: S3Server) -> None:
    place = eventful.place
    assert eventful.secrets_meanwhile == []
    assert with_secret(place.cache) == with_secret(place.scratch) == []
    content = b"".join(s3_server.files(place.bucket).values())
    assert SECRET.encode() not in content
    assert s3_server.url.removeprefix("http://").encode() not in content
    assert SECRET not in eventful.output


def test_all_commands_answer_on_a_machine_that_knows_nothing(
    eventful: Eventful, make_place: Callable[[], Place], tmp_path: Path, s3_server: S3Server
) -> None:
    other = make_place()
    place = Place(eventful.place.bucket, other.environment, other.cache, other.scratch)
    assert json.loads(place.finished("status", "small", "--json"))["done"] == 2
    assert place.finished("table", "small").count("\n") == 4
    assert place.finished("export", "small", "--to", str(tmp_path)).startswith("2 trials and 12 epochs written")
    assert pq.read_table(tmp_path / "trials.parquet").num_rows == 2
    assert f"{place.uri}/small/report.html" in place.finished("report", "small")
    assert f"{place.uri}/small/figures/error_by_lr.svg" in place.finished("plot", "small", "--figure", "error_by_lr")
    files = s3_server.files(f"{place.bucket}/store/small")
    assert files["report.html"].startswith(b"<!DOCTYPE html>")
    assert files["figures/error_by_lr.png"].startswith(b"\x89PNG")


def end_family(driver: subprocess.Popen[str]) -> None:
    """SIGKILL for the driver and for all of Ray below it, as when a machine loses power."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [(int(pid), int(parent)) for pid, parent in map(str.split, listing.stdout.splitlines())]
    family = {driver.pid}
    for _ in range(5):
        family |= {pid for pid, parent in parents if parent in family}
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    driver.communicate()


def test_a_machine_that_is_lost_costs_no_more_than_the_last_checkpoints(
    space: str,
    make_place: Callable[[], Place],
    expected: tuple[pa.Table, pa.Table],
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    place = make_place()
    trials = f"{place.bucket}/store/trials"
    with place.command("run", space) as driver:
        wait_for(lambda: any(name.endswith(CHECKPOINTS[1]) for name in s3_server.files(trials)), "two checkpoints")
        end_family(driver)
    shutil.rmtree(place.cache)
    time.sleep(0.5)  # for the server to end what it was sent
    left = s3_server.files(trials)
    kept: dict[str, int] = {}
    for name, content in left.items():
        key, _, file = name.partition("/")
        if file in CHECKPOINTS:
            kept[key] = max(kept.get(key, 0), json.loads(content.partition(b"\n")[0])["epochs_done"])
        elif file == "result.json":
            kept[key] = 6
    assert any(0 < epochs < 6 for epochs in kept.values())
    place.finished("run", space)
    assert rows(place, s3_server, tmp_path / "rows") == expected
    epochs = pq.read_table(tmp_path / "rows" / "epochs.parquet").to_pylist()
    assert len(epochs) == 12
    gone_on = [row for row in epochs if row["trial_key"] in kept]
    assert [row["attempt"] == 1 for row in gone_on] == [row["epoch"] <= kept[row["trial_key"]] for row in gone_on]


@pytest.mark.faults
def test_a_search_goes_on_on_another_machine_from_the_log_in_the_bucket(
    make_place: Callable[[], Place], s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = make_place(), make_place()
    place = Place(first.bucket, other.environment, other.cache, other.scratch)
    space = tmp_path / "wide.yaml"
    space.write_text(SEARCH)
    log = f"{first.bucket}/store/wide"

    def num_ended() -> int:
        return s3_server.files(log).get(SEARCH_LOG, b"").count(b'"event":"end"')

    with first.command("run", str(space)) as driver:
        wait_for(lambda: num_ended() > 0, "the end of a proposal")
        end_family(driver)
    time.sleep(0.5)  # for the server to end what it was sent
    left = s3_server.files(log)[SEARCH_LOG]
    status = json.loads(place.finished("status", "wide", "--json"))
    assert (status["driver_running"], status["planned"]) == (False, 5)
    output = place.finished("run", str(space))
    assert "wide: a search of 4 trials on digits, " in output
    assert "0 done" not in output.splitlines()[0]
    assert s3_server.files(log)[SEARCH_LOG].startswith(left)
    for name, content in s3_server.files(f"{first.bucket}/store").items():
        (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / name).write_bytes(content)
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(place.cache))
    assert list(kept_search.problems(tmp_path / "store", space, {})) == []


REFUSALS = {
    "no bucket": ("s3://no-such-bucket/x", {}, "there is no bucket 'no-such-bucket'"),
    "nobody there": ("s3://bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "no answer: check the network"),
    "credentials in the URI": (f"s3://key:{SECRET}@bucket/x", {}, "leave the credentials out"),
    "no such file system": ("nosuch://bucket/x", {}, "nosuch://bucket/x: cannot be opened"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("command", ["run", "table"])
def test_a_store_that_cannot_be_used_is_one_line(
    case: str, command: str, space: str, s3: S3Server, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, environment, message = REFUSALS[case]
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    done = cli(command, space if command == "run" else "small", "--store", uri)
    assert time.monotonic() - started < 15
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert SECRET not in done.stderr
    assert not (tmp_path / "cache").exists()


def test_wrong_credentials_are_one_line(s3: S3Server, cli: Cli) -> None:
    bucket = s3.new_bucket()
    with s3.knowing_nobody():
        done = cli("table", "small", "--store", f"s3://{bucket}/x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "access denied" in done.stderr
