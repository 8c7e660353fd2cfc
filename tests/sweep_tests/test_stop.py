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

from models.registry import build_model
from results.store.local_store import LocalStore
from sweep.driver.callbacks import ObserverCallback, StoppedError
from sweep.driver.stop_request import StopRequest
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from tests.results_tests.result_samples import make_config
from trainable.errors import RunEndedError
from trainable.records import Progress, Status
from trainable.session import RunInfo
from trainable.tune_adapter import TRIAL_KEY, TrialSetup, report


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(
    ("statuses", "line", "error"),
    [
        (["RUNNING", "TERMINATED", "RUNNING", "PENDING"], "2 trials to write their checkpoints", StoppedError),
        (["RUNNING", "ERROR"], "1 trial to write its checkpoint", StoppedError),
        (["PENDING"], None, KeyboardInterrupt),
    ],
)
def test_a_signal_is_answered_at_once_with_the_number_of_running_trials(
    tmp_path: Path, statuses: list[str], line: str | None, error: type[BaseException], is_terminal: bool
) -> None:
    output, stop = io.StringIO(), StopRequest()
    console = Console(file=output, force_terminal=is_terminal, width=80, color_system=None)
    trials = [SimpleNamespace(status=status) for status in statuses]
    with SweepView(console, SweepOutline(name="mine"), {"0": make_config()}) as view, stop.on_signals():
        setup = TrialSetup({}, tmp_path, RunInfo("run", 1, ""), "")
        callback = ObserverCallback([view], setup, LocalStore(tmp_path), stop, None)
        callback.on_step_end(0, trials)
        assert "stopping" not in output.getvalue()
        os.kill(os.getpid(), signal.SIGTERM)
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


def test_a_second_signal_raises_at_once() -> None:
    stop = StopRequest()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
