"""A sweep in a bucket: trained again, without its server for seconds, killed, extended, and read from elsewhere.

Its model is a user's own. And a search there that another machine resumes.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet.collect import Collector
from results.store.journal import LocalJournal
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from results.store.opening import open_store
from results.store.search_log import SEARCH_LOG, read_log
from tests.integration_tests.killed_sweep import CLOCKS
from tests.integration_tests.machines import Machine, answer
from tests.integration_tests.processes import family, kill
from tests.integration_tests.running_sweeps import OWN_MODEL, search_on_digits
from tests.s3_server import SECRET, S3Server
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, CONFIG, EPOCHS, RESULT, WEIGHTS
from trainable.records import Purpose, Status

LONG, SHORT, ADDED = 64, 32, 128
"""Batch sizes of the trials. The first trial outlasts the time to its first checkpoint on a fast machine, too."""
EPOCHS_OF = {LONG: 10, SHORT: 2, ADDED: 1}
IMAGES_OF = {LONG: 512, SHORT: 128, ADDED: 128}
FIELDS = {"test_subset": 100, "precision": "fp32", "lr": 0.1}


def space_of(*batch_sizes: int) -> str:
    rows = [FIELDS | fields_of(size) for size in batch_sizes]
    return json.dumps({"name": "small", "defaults": {"model": OWN_MODEL}, "rows": rows})  # which is YAML, too


def fields_of(batch_size: int) -> dict[str, object]:
    return {"batch_size": batch_size, "epochs": EPOCHS_OF[batch_size], "train_subset": IMAGES_OF[batch_size]}


def train_arguments(batch_size: int) -> list[str]:
    values = FIELDS | fields_of(batch_size)
    settings = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    return ["train", OWN_MODEL, "--threads", "1", *settings]


@pytest.fixture(scope="module")
def make_machine(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Machine]]:
    scratches: list[Path] = []

    def make(bucket: str) -> Machine:
        """A machine that has seen nothing of the bucket yet."""
        scratches.append(Path(tempfile.mkdtemp(prefix="")))  # short: Ray's sockets lie below it
        cache = tmp_path_factory.mktemp("cache")
        environment = s3_server.environment | {"BATCHSCAPE_CACHE": str(cache), "TMPDIR": str(scratches[-1])}
        return Machine(bucket, environment, cache, scratches[-1])

    yield make
    for scratch in scratches:
        shutil.rmtree(scratch, ignore_errors=True)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def with_secret(folder: Path) -> list[str]:
    """Files below the folder that contain the secret key."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or a socket
            if path.is_file() and SECRET.encode() in path.read_bytes():
                found.append(str(path))
    return found


@dataclass(frozen=True)
class Life:
    """A sweep on the server, and what happened to it."""

    machine: Machine
    first_output: str
    """Output of the run that was killed."""
    last_output: str
    second_driver: tuple[int, str, str]
    status_meanwhile: dict[str, object]
    secrets_meanwhile: list[str]
    kept: dict[str, int]
    """Trial key -> epochs that lay in the bucket after the kill, in a result or the newest checkpoint."""


@pytest.fixture(scope="module")
def life(
    make_machine: Callable[[str], Machine], s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Life:
    machine = make_machine(s3_server.new_bucket())
    trials = f"{machine.bucket}/store/trials"
    space, extension = (tmp_path_factory.mktemp("space") / f"{name}.yaml" for name in ("small", "added"))
    space.write_text(space_of(LONG, SHORT))
    extension.write_text(space_of(ADDED))
    assert f"COMPLETE: {machine.uri}/trials/" in machine.says(*train_arguments(SHORT))

    (trained,) = {name.partition("/")[0] for name in s3_server.names(trials)}

    def is_there(*files: str) -> bool:
        """Whether the other trial has one of these files in the bucket."""
        return any(name.rpartition("/")[2] in files for name in s3_server.names(trials) if trained not in name)

    with machine.start("run", str(space), "--again") as driver:
        wait_for(lambda: is_there(ATTEMPTS), "a trial")
        second_driver = machine.answer("run", str(space))
        status = json.loads(machine.says("status", "small", "--json"))
        s3_server.down()
        time.sleep(4.0)
        s3_server.up()
        secrets = with_secret(machine.scratch) + with_secret(machine.cache)
        wait_for(lambda: is_there(*CHECKPOINTS), "a checkpoint")
        kill(list(family(driver.pid)))  # all at once, as when a machine loses power
        first_output, _ = driver.communicate()
    secrets += with_secret(machine.scratch)
    shutil.rmtree(machine.cache)
    time.sleep(0.5)  # for the server to end what it was sent
    kept: dict[str, int] = {}
    for name, content in s3_server.files(trials).items():
        key, _, file = name.partition("/")
        if file in (*CHECKPOINTS, RESULT):
            kept[key] = max(kept.get(key, 0), json.loads(content.partition(b"\n")[0])["epochs_done"])
    with machine.start("run", str(extension), "--extend") as driver:
        last_output, errors = driver.communicate(timeout=200)
    assert (driver.returncode, errors) == (0, "")
    return Life(machine, first_output, last_output, second_driver, status, secrets, kept)


@pytest.fixture(scope="module")
def manifest(life: Life) -> Manifest:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in life.machine.environment.items():
            patch.setenv(name, value)
        return open_store(life.machine.uri).manifest("small")


def without_clocks(trials: pa.Table, epochs: pa.Table) -> list[pa.Table]:
    return [table.drop_columns([c for c in table.column_names if c in CLOCKS]) for table in (trials, epochs)]


def tables_there(life: Life, server: S3Server) -> tuple[pa.Table, pa.Table]:
    files = server.files(f"{life.machine.bucket}/store/small")
    trials, epochs = (pq.read_table(pa.BufferReader(files[f"{name}.parquet"])) for name in ("trials", "epochs"))
    return trials, epochs


@pytest.mark.ray
def test_the_rows_are_those_of_an_undisturbed_local_store(
    life: Life, manifest: Manifest, s3_server: S3Server, tmp_path: Path
) -> None:
    """The local store holds the same trials, trained one after the other by `train`."""
    store = LocalStore(tmp_path / "store")

    def train(*batch_sizes: int) -> None:
        for size in batch_sizes:
            assert answer({}, *train_arguments(size), "--store", str(store.path))[0] == 0

    train(SHORT)
    assert store.supersede(manifest) == 1
    train(LONG, SHORT, ADDED)
    there = without_clocks(*tables_there(life, s3_server))
    assert there == without_clocks(*Collector(store, manifest).tables())
    rows = zip(*(there[0][name].to_pylist() for name in ("batch_size", "superseded", "generation")), strict=True)
    assert list(rows) == [(LONG, False, 1), (SHORT, True, 1), (SHORT, False, 2), (ADDED, False, 1)]


@pytest.mark.ray
def test_the_runs_say_what_they_do(life: Life) -> None:
    machine = life.machine
    lines = life.first_output.splitlines()
    assert lines[0] == "small: 2 trials on digits, all to retrain"
    assert "note: 1 earlier result is kept, marked superseded" in lines
    assert ", 1 to resume, " in life.last_output or "2 to resume, " in life.last_output
    assert "estimate: " in life.last_output
    assert f"3 of 3 trials done, results in {machine.uri}/small\n" in life.last_output
    assert f"next: python tune_main.py table small --store {machine.uri}\n" in life.last_output


@pytest.mark.ray
def test_a_lost_machine_costs_no_more_than_the_last_checkpoint(life: Life, s3_server: S3Server) -> None:
    _, epochs = tables_there(life, s3_server)
    rows = [row for row in epochs.to_pylist() if row["trial_key"] in life.kept and not row["superseded"]]
    assert any(0 < life.kept[row["trial_key"]] < EPOCHS_OF[LONG] for row in rows)
    assert [row["attempt"] == 1 for row in rows] == [row["epoch"] <= life.kept[row["trial_key"]] for row in rows]


@pytest.mark.ray
def test_a_finished_sweep_leaves_a_released_lease_and_no_checkpoints(life: Life, s3_server: S3Server) -> None:
    names = {name.rpartition("/")[2] for name in s3_server.files(f"{life.machine.bucket}/store")}
    names = {name for name in names if not name.startswith("events.out.tfevents")}
    trial = {CONFIG, ATTEMPTS, EPOCHS, RESULT, WEIGHTS}
    sweep = {"sweep.json", "trials.parquet", "epochs.parquet", "runs.jsonl", "metrics.prom", "lock.json"}
    assert names == trial | sweep
    assert json.loads(s3_server.files(f"{life.machine.bucket}/store")["small/lock.json"])["released"]


@pytest.mark.ray
def test_a_second_driver_is_refused(life: Life) -> None:
    status, _, complaint = life.second_driver
    assert status == 2
    assert "another process is running the sweep 'small'" in complaint
    assert complaint.count("\n") == 1
    assert life.status_meanwhile["driver_running"]


@pytest.mark.ray
def test_the_secret_is_written_nowhere(life: Life, s3_server: S3Server) -> None:
    machine = life.machine
    assert life.secrets_meanwhile == []
    assert with_secret(machine.cache) == with_secret(machine.scratch) == []
    files = s3_server.files(f"{machine.bucket}/store")
    assert {"small/runs.jsonl", "small/sweep.json", "small/trials.parquet"} <= files.keys()
    for name, content in files.items():
        assert SECRET.encode() not in content, name
        assert s3_server.url.removeprefix("http://").encode() not in content, name
    assert SECRET not in life.first_output + life.last_output


@pytest.mark.ray
def test_all_commands_answer_on_a_machine_that_knows_nothing(
    life: Life, make_machine: Callable[[str], Machine], tmp_path: Path, s3_server: S3Server
) -> None:
    machine = make_machine(life.machine.bucket)
    status = machine.says("status", "small")
    assert "done     3 of 3 trials\n" in status
    assert "last run took " in status
    assert "Z  small: 3 of 3 trials done, 13 of 13 epochs, best " in machine.says("status", "small", "--watch")
    assert "no trial of small has failed" in machine.says("logs", "--failed", "--sweep", "small")
    (key,) = {name.partition("/")[0] for name in s3_server.names(f"{machine.bucket}/store/trials") if ".sup" in name}
    assert "nothing that its processes wrote is kept" in machine.says("logs", key)
    assert machine.says("table", "small").count("\n") == 5
    assert machine.says("export", "small", "--to", str(tmp_path)).startswith("4 trials (1 of them superseded) and ")
    assert pq.read_table(tmp_path / "trials.parquet").num_rows == 4
    assert machine.says("export", "small").endswith(f"written to {machine.uri}/small\n")
    assert f"{machine.uri}/small/report.html" in machine.says("report", "small")
    assert f"{machine.uri}/small/figures/error_by_lr.svg" in machine.says("plot", "small", "--figure", "error_by_lr")
    assert machine.says("lint", "small")
    assert "no configuration" in machine.answer("compare", "small")[2]
    files = s3_server.files(f"{machine.bucket}/store/small")
    assert files["README.md"]
    assert files["report.html"].startswith(b"<!DOCTYPE html>")
    assert files["figures/error_by_lr.png"].startswith(b"\x89PNG")

    both = tmp_path / "both.yaml"
    both.write_text(space_of(LONG, SHORT))
    plan = machine.says("plan", str(both), "--verbose").splitlines()
    assert plan[1].startswith(f"  done   3 in {machine.uri} (matched on everything but")  # the sweep was extended
    assert [line.split()[-1] for line in plan[3:]] == ["done", "done", "done"]
    both.write_text(space_of(LONG, SHORT).replace("small", "both"))
    again = machine.says("plan", str(both), "--set", "seed=1", "--slots", "1")
    assert "  left   2 trials, 12 epochs, " in again
    assert " of 3 runs in the store" in again
    assert machine.says("run", str(both), "--name", "reused").startswith(
        "reused: 2 trials on digits, 2 reused (2 of small), 0 to train\n"
    )
    unknown = machine.answer("status", "smal")
    assert unknown[0] == 2
    assert f"no sweep 'smal' in {machine.uri}: did you mean 'small'?" in unknown[2]


NUM_PROPOSED = 3
SEARCH = f"""
name: searched
defaults: {{model: resnet_preact_8, epochs: 4, train_subset: 320, test_subset: 10, precision: fp32, batch_size: 16}}
search: {{algorithm: random, num_trials: {NUM_PROPOSED}}}
parameters: {{lr: {{min: 0.01, max: 0.5, distribution: log_uniform_values}}}}
scheduler: {{type: asha, grace_epochs: 3, reduction_factor: 2}}
confirm: {{top: 1, repeats: 1}}
"""


@pytest.mark.ray
def test_a_search_resumes_on_another_machine(
    make_machine: Callable[[str], Machine], s3_server: S3Server, tmp_path: Path
) -> None:
    """The first loses power once the second proposal is under way; the other knows nothing but the bucket."""
    space = tmp_path / "searched.yaml"
    space.write_text(SEARCH)
    undisturbed = search_on_digits(space, LocalStore(tmp_path / "aside"))
    expected = [undisturbed.next() for _ in range(NUM_PROPOSED)]
    keys = [proposal.trial.config.trial_key for proposal in expected if proposal is not None]
    first = make_machine(s3_server.new_bucket())
    trials, log = f"{first.bucket}/store/trials", f"{first.bucket}/store/searched"

    def in_bucket(key: str, file: str) -> bool:
        return f"{key}/{file}" in s3_server.names(trials)

    with first.start("run", str(space), "--max-concurrent", "1") as driver:
        wait_for(lambda: in_bucket(keys[0], RESULT) and in_bucket(keys[1], ATTEMPTS), "the second proposal")
        kill(list(family(driver.pid)))
        driver.communicate()
    time.sleep(0.5)  # for the server to end what it was sent
    known = s3_server.files(log)[SEARCH_LOG]
    has_ended = [key for key in keys if in_bucket(key, RESULT)]
    with make_machine(first.bucket).start("run", str(space), "--max-concurrent", "1") as driver:
        output, errors = driver.communicate(timeout=200)
    assert (driver.returncode, errors) == (0, "")
    assert f"{NUM_PROPOSED + 1} of {NUM_PROPOSED + 1} trials done" in output

    files = s3_server.files(log)
    assert files[SEARCH_LOG].startswith(known)
    copy = tmp_path / Path(log).name / SEARCH_LOG
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(files[SEARCH_LOG])
    record = read_log(LocalJournal(copy))
    assert [proposal.config.trial_key for proposal in record.proposals if proposal.config] == keys
    assert all(proposal.status in (Status.COMPLETE, Status.STOPPED) for proposal in record.proposals)
    rows = pq.read_table(pa.BufferReader(files["trials.parquet"])).to_pylist()
    assert [row["proposal"] for row in rows if row["purpose"] == Purpose.SEARCH] == [*range(NUM_PROPOSED)]
    assert [row["purpose"] for row in rows].count(Purpose.CONFIRM) == 1
    for key in has_ended:
        assert s3_server.files(trials)[f"{key}/{ATTEMPTS}"].count(b"\n") == 1, "trained twice"


REFUSALS = {
    "no bucket": ("s3://no-such-bucket/x", {}, "there is no bucket 'no-such-bucket'"),
    "nobody there": ("s3://bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "no answer: check the network"),
    "credentials in the URI": (f"s3://key:{SECRET}@bucket/x", {}, "leave the credentials out"),
    "no such file system": ("nosuch://bucket/x", {}, "nosuch://bucket/x: cannot be opened"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("command", [["run", "quickstart"], ["table", "small"]])
def test_a_store_that_cannot_be_used_is_one_line(
    case: str, command: list[str], s3_server: S3Server, tmp_path: Path
) -> None:
    uri, environment, message = REFUSALS[case]
    environment = s3_server.environment | {"BATCHSCAPE_CACHE": str(tmp_path / "cache")} | environment
    started = time.monotonic()
    status, _, complaint = answer(environment, *command, "--store", uri)
    assert time.monotonic() - started < 15
    assert status == 2
    assert complaint.count("\n") == 1
    assert message in complaint
    assert SECRET not in complaint
    assert not (tmp_path / "cache").exists()


def test_wrong_credentials_are_one_line(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with s3_server.knowing_nobody():
        status, _, complaint = answer(s3_server.environment, "table", "small", "--store", f"s3://{bucket}/x")
    assert (status, complaint.count("\n")) == (2, 1)
    assert "access denied" in complaint
