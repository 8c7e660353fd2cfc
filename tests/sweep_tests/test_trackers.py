"""What is shown in MLflow or W&B, and that it never harms the sweep. Without Ray running, without either package."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tune_main
from sweep.driver import trackers
from sweep.driver.trackers import Tracker
from sweep.trackers.runs import PIP_NAMES, check_installed
from tests.results_tests.result_samples import make_config, make_epoch
from trainable.errors import UserError
from trainable.records import Progress, Status
from trainable.tune_adapter import TRIAL_KEY, report

CONFIG = make_config(lr=0.25)
CONFIGS = {CONFIG.trial_key: CONFIG}
TRIAL = SimpleNamespace(trial_id="1", config={TRIAL_KEY: CONFIG.trial_key}, local_path="here")
RESULT = report(Progress(make_epoch(3, None, train_loss=0.5), Status.INCOMPLETE, replayed=False))


class FakeLogger:
    """A stand-in for one of Ray's callbacks; `fails_at` names the method that raises."""

    def __init__(self, fails_at: str = "") -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._fails_at = fails_at

    stage = "active"
    tags: dict[str, str]

    @property
    def mlflow_util(self) -> SimpleNamespace:
        """What Ray's callback knows of MLflow."""
        experiment = SimpleNamespace(lifecycle_stage=self.stage, experiment_id="7")
        api = SimpleNamespace(get_experiment=lambda number: experiment)
        return SimpleNamespace(experiment_id="7", _mlflow=api)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        def call(*arguments: object) -> None:
            if name == self._fails_at:
                raise ConnectionError("no server\nat all")
            self.calls.append((name, arguments))

        return call


def make_tracker(monkeypatch: pytest.MonkeyPatch, logger: FakeLogger) -> Tracker:
    monkeypatch.setattr(trackers, "_ray_logger", lambda name, sweep: logger)
    return Tracker("mlflow", "sweep", CONFIGS, ["lr", "seed"])


def test_a_trial_is_shown_under_a_readable_name_with_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = FakeLogger()
    tracker = make_tracker(monkeypatch, logger)
    for _ in range(2):  # its process died and it starts anew
        tracker.on_trial_start(0, [], TRIAL)
    tracker.on_trial_result(1, [], TRIAL, RESULT)
    tracker.on_trial_complete(2, [], TRIAL)
    tracker.close()
    names = [name for name, _ in logger.calls]
    assert names == ["setup", "log_trial_start", "log_trial_result", "log_trial_end", "on_experiment_end"]
    (shown,) = logger.calls[1][1]
    assert (str(shown), shown.config["lr"], shown.local_path) == ("lr=0.25, seed 0", 0.25, "here")
    assert shown.config["trial_key"] == logger.tags["trial_key"] == CONFIG.trial_key
    metrics = logger.calls[2][1][2]
    assert (metrics["train_loss"], metrics["training_iteration"]) == (0.5, 3)
    assert None not in metrics.values()
    assert "status" not in metrics
    assert logger.calls[3][1][1] is False


def test_a_promoted_trial_keeps_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = FakeLogger()
    monkeypatch.setattr(trackers, "_ray_logger", lambda name, sweep: logger)
    tracker = Tracker("mlflow", "sweep", CONFIGS, ["lr", "seed"], lambda trial_key: True)
    for number in (1, 2):
        trial = SimpleNamespace(**{**vars(TRIAL), "trial_id": str(number)})
        tracker.on_trial_start(0, [], trial)
        for epoch in range(1, number + 1):
            progress = Progress(make_epoch(epoch, 9.0), Status.INCOMPLETE, replayed=epoch < number)
            tracker.on_trial_result(1, [], trial, report(progress))
        tracker.on_trial_complete(2, [], trial)
    tracker.close()
    names = [name for name, _ in logger.calls if name.startswith("log")]
    assert names == ["log_trial_start", "log_trial_result", "log_trial_result", "log_trial_end"]
    assert logger.calls[-2][1][1] is False


def test_what_was_cut_off_is_ended_there(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = FakeLogger()
    tracker = make_tracker(monkeypatch, logger)
    tracker.on_trial_start(0, [], TRIAL)
    tracker.close()
    assert logger.calls[-2][0] == "log_trial_end"
    assert logger.calls[-2][1][1] is True


def test_a_server_that_goes_away_is_one_line_and_the_sweep_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = make_tracker(monkeypatch, FakeLogger("log_trial_result"))
    tracker.on_trial_start(0, [], TRIAL)
    for _ in range(2):
        tracker.on_trial_result(1, [], TRIAL, RESULT)
    tracker.close()
    assert capsys.readouterr().err == "note: --log mlflow: no server; the sweep continues without it\n"


def test_a_deleted_experiment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeLogger, "stage", "deleted")
    with pytest.raises(UserError, match=r"^--log mlflow: the experiment 'sweep' was deleted .* restore .* 7"):
        make_tracker(monkeypatch, FakeLogger())


def test_a_server_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^--log mlflow: no server$"):
        make_tracker(monkeypatch, FakeLogger("setup"))


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_package_is_one_line(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tune_main.main(["run", "quickstart", "--log", package]) == 2
    message = f"batchscape: --log {package}: that package is not installed: pip install {PIP_NAMES[package]}\n"
    assert capsys.readouterr() == ("", message)


def test_a_folder_with_the_name_of_a_package_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()  # offline runs lie there
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UserError, match="pip install wandb"):
        check_installed("wandb", "--log wandb")
