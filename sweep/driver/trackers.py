"""Shows trials in MLflow or Weights & Biases, through Ray's own callbacks for them.

The ledgers stay the record: an error in a tracker switches it off, and the sweep continues.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.result import TRAINING_ITERATION

from sweep.trackers.mlflow_export import limit_retries, refuse_deleted
from sweep.trackers.runs import METRICS, SWEEP_TAG, TRIAL_KEY_TAG, shown_params
from sweep.trackers.wandb_export import wandb_folder
from sweep.trial_label import run_name
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.tune_adapter import REPLAYED, TRIAL_KEY, config_of
from trainable.wording import first_line, say

PROJECT = "batchscape"
"""The project in W&B, in which each sweep is a group. In MLflow each sweep is an experiment."""


class _ShownTrial:
    """A trial of Tune under a readable name, with its whole configuration in place of Tune's short one."""

    def __init__(self, trial: Any, config: TrainConfig, name: str) -> None:  # noqa: ANN401
        self._trial = trial
        self._name = name
        self.config = shown_params(config)
        self.epochs_done = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return self._name


class Tracker(Callback):  # type: ignore[misc] # Ray's class is untyped here
    """Passes every trial of a sweep on to one of Ray's logging callbacks."""

    def __init__(
        self,
        name: str,
        sweep: str,
        configs: Mapping[str, TrainConfig],
        fields: Sequence[str],
        is_paused: Callable[[str], bool] = lambda trial_key: False,
    ) -> None:
        """
        Args:
            name: `mlflow` or `wandb`.
            configs: trial key -> configuration of the planned trials; Tune carries that of a proposed trial.
            fields: training fields that tell the trials apart.
            is_paused: whether the trial with a key may be promoted. In MLflow it then keeps its run; W&B has a
                process for each run, so there a promoted trial has another.

        Raises:
            UserError: the tracker cannot be reached, or cannot be written to.
        """
        self._name = name
        self._sweep = sweep
        self._configs = configs
        self._fields = fields
        self._taken: set[str] = set()
        self._shown: dict[str, _ShownTrial] = {}
        self._is_paused = is_paused
        self._paused: dict[str, _ShownTrial] = {}
        self._is_on = True
        try:
            self._logger = _ray_logger(name, sweep)
            self._logger.setup()
            if name == "mlflow":
                mlflow = self._logger.mlflow_util
                refuse_deleted(mlflow._mlflow.get_experiment(mlflow.experiment_id), sweep)
        except Exception as error:
            raise UserError(f"--log {name}: {first_line(error)}") from None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        """Start a run in the tracker; a trial that restarts after its process died keeps its run."""
        if (paused := self._paused.pop(trial.config[TRIAL_KEY], None)) is not None:
            self._shown[trial.trial_id] = paused
        if trial.trial_id not in self._shown:
            config = config_of(trial.config, self._configs)
            shown = _ShownTrial(trial, config, run_name(config, self._fields, self._taken))
            self._shown[trial.trial_id] = shown
            if self._name == "mlflow":
                self._logger.tags = {SWEEP_TAG: self._sweep, TRIAL_KEY_TAG: config.trial_key}
            self._tell("log_trial_start", shown)

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
        shown = self._shown.get(trial.trial_id)
        if metrics and shown is not None and not (result[REPLAYED] and result["epoch"] <= shown.epochs_done):
            shown.epochs_done = result["epoch"]
            self._tell("log_trial_result", iteration, shown, metrics | {TRAINING_ITERATION: result["epoch"]})

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        key = trial.config[TRIAL_KEY]
        if self._name == "mlflow" and self._is_paused(key) and trial.trial_id in self._shown:
            self._paused[key] = self._shown.pop(trial.trial_id)
        else:
            self._end(trial.trial_id, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        self._end(trial.trial_id, failed=True)

    def close(self) -> None:
        """End the runs of trials that were interrupted as failed: nobody would end them later."""
        for trial_id in list(self._shown):
            self._end(trial_id, failed=True)
        for shown in self._paused.values():
            self._tell("log_trial_end", shown, False)
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


def _ray_logger(name: str, sweep: str) -> Any:  # noqa: ANN401
    """Make Ray's callback; its own variables say where it writes (MLFLOW_TRACKING_URI, WANDB_MODE and the like)."""
    if name == "mlflow":
        limit_retries()
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        return MLflowLoggerCallback(experiment_name=sweep)
    from ray.air.integrations.wandb import WandbLoggerCallback

    return WandbLoggerCallback(project=PROJECT, group=sweep, dir=str(wandb_folder()))
