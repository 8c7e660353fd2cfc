"""What happens when the user asks a run to stop. (With real trials: test_running_sweep.py.)"""

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import sweep.run
import tune_main
from results.store.local_store import LocalStore
from sweep.driver.callbacks import ObserverCallback, StoppedError
from sweep.driver.stop_request import StopRequest
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from tests.results_tests.result_samples import make_config
from trainable.session import RunInfo
from trainable.tune_adapter import TrialSetup


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
