"""The status again and again."""

import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

import tune_main
from results.store.lease import Timing
from results.store.local_store import LocalStore
from results.store.opening import open_store
from sweep.exit_codes import ExitCode
from sweep.status import watch as watching
from sweep.status.status import StatusReader, SweepStatus, sweep_status
from sweep.status.watch import Watcher, is_over, line_of, renderable, sweep_reader, watch
from tests.other_process import driven
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.ledger.reading import read_summary
from trainable.ledger.remote import Remote, RemoteError
from trainable.records import Status, TrialSummary

RUNNING = SweepStatus(
    sweep="sweep",
    driver_running=True,
    planned=4,
    done=1,
    stopped=0,
    diverged=0,
    running=2,
    failed=0,
    left=3,
    epochs_done=10,
    epochs_planned=40,
    errors={},
    stalled={},
    best=None,
    front=[],
    notes=[],
)
LATER = dataclasses.replace(RUNNING, epochs_done=20)
GONE = dataclasses.replace(LATER, driver_running=False, running=0)
DONE = dataclasses.replace(GONE, done=4, left=0, epochs_done=40)
ANSI = "\x1b["


def seen(statuses: Sequence[SweepStatus | Exception], *, as_json: bool = False, terminal: bool = False) -> str:
    """What a watch prints that sees these, one after the other."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    watch(reads(statuses), console, 1.0, as_json=as_json, sleep=lambda seconds: None)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def reads(statuses: Sequence[SweepStatus | Exception]) -> Callable[[], SweepStatus]:
    left = iter(statuses)

    def read() -> SweepStatus:
        status = next(left)
        if isinstance(status, Exception):
            raise status
        return status

    return read


def test_a_pipe_gets_a_line_for_every_change() -> None:
    lines = [line.split("Z  ")[1] for line in seen([RUNNING, RUNNING, LATER, GONE, GONE, DONE]).splitlines()]
    assert lines[0] == "sweep: 1 of 4 trials done, 2 running, 10 of 40 epochs"
    assert lines[1].startswith("sweep: 1 of 4 trials done, 2 running, 20 of 40 epochs, about ")
    assert lines[2:] == [
        "sweep: 1 of 4 trials done, 20 of 40 epochs, no driver is running, 3 trials are left: waiting for a `run`",
        "sweep: 4 of 4 trials done, 40 of 40 epochs",
    ]


def test_json_is_a_line_a_look() -> None:
    lines = seen([RUNNING, RUNNING, DONE], as_json=True, terminal=True).splitlines()
    told = [
        json.loads(line) | dict.fromkeys(("at_work", "paused_keys"), frozenset()) | {"is_search": False}
        for line in lines
    ]
    assert told == [dataclasses.asdict(status) for status in (RUNNING, RUNNING, DONE)]


def test_a_terminal_is_redrawn() -> None:
    text = seen([RUNNING, GONE, DONE], terminal=True)
    assert ANSI in text
    assert text.count("sweep: running now") == 1
    assert text.count("sweep: not running") == 3  # rich draws the last one once more
    assert "waiting for a `run`" in text


def test_a_store_that_does_not_answer_ends_nothing() -> None:
    text = seen([RUNNING, RemoteError("s3://bucket", "no answer"), DONE])
    assert text.splitlines()[1].endswith("sweep: s3://bucket: no answer; trying again")
    assert "4 of 4 trials done" in text.splitlines()[2]
    with pytest.raises(RemoteError):
        seen([RemoteError("s3://bucket", "no answer")])


def test_it_ends_with_the_driver_and_not_before() -> None:
    ending = dataclasses.replace(DONE, driver_running=True)
    failed = dataclasses.replace(GONE, failed=1, done=3, left=1)
    nothing = dataclasses.replace(GONE, planned=0, left=0, notes=["the space has no trial"])
    assert [is_over(status) for status in (RUNNING, GONE, ending, failed, DONE, nothing)] == [False] * 4 + [True] * 2


def test_the_pace_is_that_of_the_driver_that_is_there() -> None:
    now = 0.0
    again = dataclasses.replace(GONE, driver_running=True, epochs_done=30)
    slow = [RUNNING, LATER, GONE, again, dataclasses.replace(again, failed=1)]
    watcher = Watcher(reads(slow), clock=lambda: now)
    left = []
    for now in (10.0, 1000.0, 1005.0, 1006.0):  # noqa: B007 (the clock reads it)
        left.append(watcher.look().seconds_left)
    assert left == [20.0, None, 5.0, None]


def test_what_is_drawn_says_what_an_error_was() -> None:
    failed = dataclasses.replace(RUNNING, failed=1, errors={"0123": "out of memory"})
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable(watching.Look(failed, 60.0)))
    assert isinstance(console.file, io.StringIO)
    assert "failed 0123: out of memory" in console.file.getvalue()
    assert "about 1m00s left" in console.file.getvalue()
    assert ", 1 failed, " in line_of(watching.Look(failed, None))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A sweep with a trial that is done and one that is not."""
    store, configs = LocalStore(tmp_path), [make_config(seed=seed) for seed in range(2)]
    write_trial(store, configs[0], [make_epoch(1, 10.0)], make_end(Status.COMPLETE, 1))
    write_trial(store, configs[1], [make_epoch(1, 10.0)])
    with store.driving(make_manifest(configs)):
        return store


def test_trials_that_have_ended_are_read_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(folder: Path) -> TrialSummary:
        read.append(folder.name)
        return read_summary(folder)

    monkeypatch.setattr("results.store.store.read_summary", noted)
    reader = StatusReader(store, store.manifest("sweep"))
    looks = [reader.read() for _ in range(3)]
    assert looks == [sweep_status(store, store.manifest("sweep"))] * 3
    keys = store.manifest("sweep").keys
    assert [read.count(key) for key in keys] == [2, 4]  # one of each by sweep_status


def test_a_new_driver_may_plan_more_trials(store: LocalStore) -> None:
    read = sweep_reader(store, "sweep")
    assert read().planned == 2
    more = make_manifest([make_config(seed=seed) for seed in range(3)])
    with store.driving(more):
        pass
    with driven(store.sweep_folder("sweep")):
        assert read().planned == 3


def test_a_finished_sweep_is_said_once_and_ends_with_success(
    store: LocalStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["--store", str(store.path)]

    def interrupt(seconds: float) -> None:
        assert seconds == 0.5
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "__kwdefaults__", {"as_json": False, "sleep": interrupt})
    assert tune_main.main(["status", "sweep", "--watch", "0.5", *place]) == ExitCode.INTERRUPTED
    output = capsys.readouterr()
    assert (output.out.count("\n"), output.err) == (1, "")
    assert "1 trial is left: waiting for a `run`" in output.out
    write_trial(store, make_config(seed=1), [], make_end(Status.COMPLETE, 1))
    assert tune_main.main(["status", "sweep", "--watch", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2


def test_mistakes_are_one_line(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--store", str(store.path)]
    assert "did you mean 'sweep'?" in refused(["status", "swep", "--watch", *place], capsys)
    assert "must be greater than 0" in refused(["status", "sweep", "--watch", "0", *place], capsys)
    assert "'often' is not a number" in refused(["status", "sweep", "--watch", "often", *place], capsys)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of the store's server."""
    asked: list[str] = []
    patiently = Remote._patiently

    def noted(place: Remote, action: Callable[[], object]) -> object:
        asked.append(action.__qualname__)
        return patiently(place, action)

    monkeypatch.setattr(Remote, "_patiently", noted)
    yield asked


def test_in_a_bucket_a_look_is_few_requests(
    s3: S3Server, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.store.lease.TIMING", Timing(settle=0.1))
    store = open_store(f"s3://{s3.new_bucket()}/store")
    configs = [make_config(seed=seed) for seed in range(30)]
    for config in configs[:20]:
        train(store, config, 2, Status.COMPLETE)
    for config in configs[20:24]:
        train(store, config, 1)
    with store.driving(make_manifest(configs)):
        other = open_store(store.location())
        read = sweep_reader(other, "sweep")
        assert read().done == 20
        requests.clear()
        assert read().driver_running
        # The log of a search, the trials that are left (10, and one for those superseded), the lease twice, a file.
        assert len(requests) == 1 + 11 + 2 + 1
        train(store, configs[20], 2, Status.COMPLETE)
        requests.clear()
        assert read().done == 21
