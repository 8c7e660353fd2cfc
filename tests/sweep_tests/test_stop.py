"""What happens when the user asks a run to stop. (With real trials: test_running_sweep.py.)"""

import io
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import sweep.run
import tune_main
from cli.options import time_limit
from models.registry import build_model
from results.store.local_store import LocalStore
from sweep.driver.callbacks import ObserverCallback, StoppedError
from sweep.driver.stop_request import StopRequest
from sweep.ending import report_end, report_stop
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from sweep.request import StopCause, TimeLimit
from sweep.runs import RunRecord
from tests.results_tests.result_samples import make_config, make_manifest
from trainable.errors import RunEndedError
from trainable.records import Progress, Status
from trainable.session import RunInfo
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import TRIAL_KEY, report


@pytest.mark.parametrize(("is_terminal", "number"), [(True, signal.SIGTERM), (False, signal.SIGUSR1)])
@pytest.mark.parametrize(
    ("statuses", "line", "error"),
    [
        (["RUNNING", "TERMINATED", "RUNNING", "PENDING"], "2 trials to write their checkpoints", StoppedError),
        (["RUNNING", "ERROR"], "1 trial to write its checkpoint", StoppedError),
        (["PENDING"], None, KeyboardInterrupt),
    ],
)
def test_a_signal_is_answered_at_once_with_the_number_of_running_trials(
    tmp_path: Path, statuses: list[str], line: str | None, error: type[BaseException], is_terminal: bool, number: int
) -> None:
    output, stop = io.StringIO(), StopRequest()
    console = Console(file=output, force_terminal=is_terminal, width=80, color_system=None)
    trials = [SimpleNamespace(status=status) for status in statuses]
    with SweepView(console, SweepOutline(name="mine"), {"0": make_config()}) as view, stop.on_signals():
        setup = TrialSetup({}, tmp_path, RunInfo("run", 1, ""), "")
        callback = ObserverCallback([view], setup, LocalStore(tmp_path), stop, None)
        callback.on_step_end(0, trials)
        assert "stopping" not in output.getvalue()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # as Tune puts a handler of its own there
        callback.setup()
        os.kill(os.getpid(), number)
        with pytest.raises(error):
            callback.on_step_end(1, trials)
    lines = [text.strip() for text in output.getvalue().splitlines() if "stopping" in text]
    assert len(lines) == 1
    assert lines[0].endswith(f"stopping: waiting for {line}" if line else "stopping")


def test_a_store_that_cannot_be_written_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """What the running trials may still need is said; the one that met the full disk is not shown as failed."""
    output, config = io.StringIO(), make_config()
    with SweepView(Console(file=output, width=80), SweepOutline(name="mine"), {"0": config}) as view:
        setup = TrialSetup({"0": config}, tmp_path, RunInfo("run", 1, ""), "")
        callback = ObserverCallback([view], setup, LocalStore(tmp_path), StopRequest(), None)
        trial = SimpleNamespace(status="RUNNING", config={TRIAL_KEY: "0"})
        trouble = "No space left on device (the file system / has 0.0 MB left)"
        failed = Progress(None, Status.FAILED, replayed=False, error="OSError", store_trouble=trouble)
        callback.on_trial_result(0, [trial, trial], trial, report(failed))
        with pytest.raises(RunEndedError) as ended:
            callback.on_step_end(0, [])
    needed_bytes = float(re.search(r"may need (\S+) MB", str(ended.value))[1]) * 1e6  # type: ignore[index]
    model = build_model(config.model, 10, torch.Generator())
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    assert 4 * 8 * num_weights < needed_bytes < 4 * 8 * num_weights + 2e6
    assert str(ended.value).startswith(f"cannot write to {tmp_path}: {trouble}; what was trained is kept: fix this")
    assert "\n" not in str(ended.value)
    assert output.getvalue() == ""


def test_the_cause_is_kept_in_a_word() -> None:
    assert StopRequest().stopped_by is None
    failed, late = StopRequest(fail_fast=True), StopRequest(limit=TimeLimit(0.0))
    failed.note_failure()
    assert (late.is_requested, late.stopped_by, failed.stopped_by) == (True, "TIME_LIMIT", "FAILURE")
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = StopRequest()
        with stop.on_signals():
            os.kill(os.getpid(), number)
        assert stop.stopped_by == number.name


def test_a_second_signal_raises_at_once() -> None:
    stop = StopRequest()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_before_training_a_stop_says_that_the_same_command_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(request: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep.run, "prepare", interrupted)
    assert tune_main.main(["run", "quickstart"]) == 130
    assert capsys.readouterr().err == "\nstopped while nothing was being trained; the same command resumes\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1.5m", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("01:02:03", 3723),
        ("100:00:00", 360000),
    ],
)
def test_a_time_limit_has_units_or_is_a_clock(text: str, seconds: float) -> None:
    assert time_limit(text).seconds == seconds


@pytest.mark.parametrize("text", ["2", "h", "-1h", "1:30", "00:60:00", "0s", "2 h", "nan", "1e3s", "1w"])
def test_other_texts_are_no_time_limit(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["run", "quickstart", f"--time-limit={text}"]) == 2
    told = capsys.readouterr().err
    assert "--time-limit: must be" in told
    assert ("(the unit is missing: 2s, 2m, 2h or 2d)" in told) is (text == "2")


@pytest.mark.parametrize(("seconds", "stops_after"), [(7200, 7170), (10, 5)])
def test_a_run_stops_before_its_time_limit_to_write_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, stops_after: float
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stop = StopRequest(limit=TimeLimit(seconds, now[0]))
    callback = ObserverCallback(
        [], TrialSetup({}, tmp_path, RunInfo("run", 1, ""), ""), LocalStore(tmp_path), stop, None
    )
    now[0] += stops_after - 1
    callback.on_step_end(0, [SimpleNamespace(status="RUNNING")])
    now[0] += 1
    with pytest.raises(StoppedError):
        callback.on_step_end(1, [SimpleNamespace(status="RUNNING")])
    assert stop.cause is StopCause.TIME_LIMIT


def test_a_signal_after_the_time_limit_counts_as_one() -> None:
    stop = StopRequest(limit=TimeLimit(0.0))
    assert stop.is_requested
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.cause is StopCause.SIGNAL


@pytest.mark.parametrize("fail_fast", [True, False])
def test_the_first_failure_ends_a_run_if_asked(tmp_path: Path, fail_fast: bool) -> None:
    stop = StopRequest(fail_fast=fail_fast)
    callback = ObserverCallback(
        [], TrialSetup({}, tmp_path, RunInfo("run", 1, ""), ""), LocalStore(tmp_path), stop, None
    )
    trial = SimpleNamespace(config={TRIAL_KEY: "key"}, status="RUNNING", run_metadata=SimpleNamespace(num_failures=0))
    callback.on_trial_result(0, [], trial, report(Progress(None, Status.DIVERGED, replayed=False)))
    assert not stop.is_requested
    callback.on_trial_result(1, [], trial, report(Progress(None, Status.FAILED, replayed=False, error="no")))
    assert stop.cause is (StopCause.FAILURE if fail_fast else None)


@pytest.mark.parametrize(
    ("cause", "code", "line"),
    [
        (StopCause.SIGNAL, 130, "stopped with 0 of 1 trial done; the same command resumes"),
        (
            StopCause.TIME_LIMIT,
            0,
            "stopped at the time limit with 0 of 1 trial done, 1 left; the same command resumes",
        ),
        (StopCause.FAILURE, 1, "stopped at the first failed trial with 0 of 1 trial done, 1 left; "),
        (None, 130, "stopped with 0 of 1 trial done; "),
    ],
)
def test_what_is_said_and_returned_depends_on_the_cause_of_the_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cause: StopCause | None, code: int, line: str
) -> None:
    store, manifest = LocalStore(tmp_path), make_manifest([make_config()], "mine")
    store.write_manifest(manifest)
    record = RunRecord("run", "2026-11-01T00:00:00+00:00", 1, 1, 0, 0, 5.0, None, None, interrupted=True)
    report_stop(store, manifest, cause)
    assert report_end(store, manifest, record, cause) == code
    assert line in capsys.readouterr().err
