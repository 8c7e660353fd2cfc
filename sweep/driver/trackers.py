"""Shows trials in MLflow or Weights & Biases, through Ray's own callbacks for them.

The ledgers stay the record: an error in a tracker switches it off, and the sweep continues.
"""

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.result import TRAINING_ITERATION

from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.records import EpochRecord
from trainable.tune_adapter import TRIAL_KEY, config_of
from trainable.wording import first_line, printable_line, say

PROJECT = "batchscape"
"""The project in W&B, in which each sweep is a group. In MLflow each sweep is an experiment."""
METRICS = [spec.name for spec in dataclasses.fields(EpochRecord)]


def tracked(value: object) -> object:
    """Return a value of a configuration for a tracker; its pages are not ours, so text is one printable line."""
    return printable_line(value) if isinstance(value, str) else value


class _ShownTrial:
    """A trial of Tune under its trial key, with its whole configuration in place of Tune's short one."""

    def __init__(self, trial: Any, config: TrainConfig) -> None:  # noqa: ANN401
        self._trial = trial
        values = {TRIAL_KEY: config.trial_key, **config.to_dict()}
        self.config = {name: tracked(value) for name, value in values.items()}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return str(self.config[TRIAL_KEY])


class Tracker(Callback):  # type: ignore[misc] # Ray's class is untyped here
    """Passes every trial of a sweep on to one of Ray's logging callbacks."""

    def __init__(self, name: str, sweep: str, configs: Mapping[str, TrainConfig]) -> None:
        """
        Args:
            name: `mlflow` or `wandb`.
            configs: trial key -> configuration of the planned trials; Tune carries that of a proposed trial.

        Raises:
            UserError: the tracker cannot be reached, or cannot be written to.
        """
        self._name = name
        self._configs = configs
        self._shown: dict[str, _ShownTrial] = {}
        self._is_on = True
        try:
            self._logger = _ray_logger(name, sweep)
            self._logger.setup()
            if name == "mlflow":
                _refuse_deleted(self._logger.mlflow_util, sweep)
        except Exception as error:
            raise UserError(f"--log {name}: {first_line(error)}") from None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        """Start a run in the tracker; a trial that restarts after its process died keeps its run."""
        if trial.trial_id not in self._shown:
            config = config_of(trial.config, self._configs)
            self._shown[trial.trial_id] = _ShownTrial(trial, config)
            self._tell("log_trial_start", self._shown[trial.trial_id])

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,  # noqa: ANN401
        result: dict[str, Any],
        **info: object,
    ) -> None:
        """Log the metrics of an epoch, replayed or trained; missing ones are left out."""
        metrics = {name: result[name] for name in METRICS if result.get(name) is not None}
        if metrics and trial.trial_id in self._shown:
            step = {TRAINING_ITERATION: result["epoch"]}
            self._tell("log_trial_result", iteration, self._shown[trial.trial_id], metrics | step)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        self._end(trial.trial_id, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        self._end(trial.trial_id, failed=True)

    def close(self) -> None:
        """End the runs of trials that were interrupted as failed: nobody would end them later."""
        for trial_id in list(self._shown):
            self._end(trial_id, failed=True)
        self._tell("on_experiment_end", [])

    def _end(self, trial_id: str, *, failed: bool) -> None:
        shown = self._shown.pop(trial_id, None)
        if shown is not None:
            self._tell("log_trial_end", shown, failed)

    def _tell(self, method: str, *arguments: object) -> None:
        if not self._is_on:
            return
        try:
            getattr(self._logger, method)(*arguments)
        except Exception as error:
            self._is_on = False
            say(f"note: --log {self._name}: {first_line(error)}; the sweep continues without it", file=sys.stderr)


def _refuse_deleted(mlflow: Any, sweep: str) -> None:  # noqa: ANN401
    """Refuse an experiment that was deleted: MLflow finds it by its name, but starts no run in it."""
    if mlflow._mlflow.get_experiment(mlflow.experiment_id).lifecycle_stage == "deleted":
        raise UserError(
            f"the experiment {sweep!r} was deleted there: `mlflow experiments restore --experiment-id "
            f"{mlflow.experiment_id}` brings it back, or give another --name"
        )


def _ray_logger(name: str, sweep: str) -> Any:  # noqa: ANN401
    """Make Ray's callback; its own variables say where it writes (MLFLOW_TRACKING_URI, WANDB_MODE and the like)."""
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        return MLflowLoggerCallback(experiment_name=sweep, tags={"sweep": sweep})
    from ray.air.integrations.wandb import WandbLoggerCallback

    folder = os.environ.get("WANDB_DIR", str(Path.cwd()))  # the default lies in the scratch folder
    return WandbLoggerCallback(project=PROJECT, group=sweep, dir=folder)
