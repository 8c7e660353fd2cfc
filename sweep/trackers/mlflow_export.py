"""A sweep as an experiment of MLflow, a trial as a run."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.trackers.runs import (
    SWEEP_TAG,
    TRIAL_KEY_TAG,
    TrackedRun,
    check_installed,
    differs,
    epoch_metrics,
)
from trainable.errors import UserError
from trainable.records import Status
from trainable.wording import counted, first_line

OPTION = "export --mlflow"
SUPERSEDED_TAG = "superseded"
MOST_METRICS = 1000
MOST_PARAMS = 100
"""Largest numbers of entries of one request."""
MOST_RUNS = 1000
RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow's own number of retries lasts four minutes before it says that a server is not there."""
IDENTITY = "train_seconds"
"""A metric of each epoch that two trainings hardly share, so that a run is known to be of a training or not."""
FINISHED = {Status.FAILED: "FAILED", Status.INCOMPLETE: "RUNNING"}
"""Status of a run in MLflow, where it is not FINISHED."""


def export_mlflow(sweep: str, runs: Sequence[TrackedRun], uri: str) -> str:
    """Write the runs into an experiment with the name of the sweep, and return what to tell the user.

    A run that an earlier export or `run --log mlflow` wrote is brought up to date.

    Raises:
        UserError: MLflow is not installed, or the place cannot be written.
    """
    check_installed("mlflow", OPTION)
    limit_retries()
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, sweep)
        known = list(_known_runs(client, experiment, sweep))
        for run in runs:
            run_id = _run_id(client, [other for other in known if other.data.tags[TRIAL_KEY_TAG] == run.key], run)
            _update(client, run_id or _new_run(client, experiment, run), run)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{OPTION} {uri}: {first_line(error)}") from None
    written = f"{counted(len(runs), 'run')} written to the experiment {sweep!r}"
    return written if uri.startswith("http") else f"{written}\nnext: mlflow ui --backend-store-uri {uri}"


def limit_retries() -> None:
    """Make MLflow give a server up after seconds, unless the user says otherwise."""
    for name, value in RETRIES.items():
        os.environ.setdefault(name, value)


def refuse_deleted(experiment: Any, sweep: str) -> None:  # noqa: ANN401 (MLflow's)
    """Refuse an experiment that was deleted: MLflow finds it by its name, but starts no run in it.

    Raises:
        UserError: the experiment was deleted.
    """
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"the experiment {sweep!r} was deleted there: `mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}` brings it back, or give another --name"
        )


def _experiment(client: Any, sweep: str) -> str:  # noqa: ANN401
    experiment = client.get_experiment_by_name(sweep)
    if experiment is None:
        return str(client.create_experiment(sweep))
    refuse_deleted(experiment, sweep)
    return str(experiment.experiment_id)


def _known_runs(client: Any, experiment: str, sweep: str) -> Iterator[Any]:  # noqa: ANN401
    """Yield the runs of the sweep, the newest first; superseded ones are left out."""
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.{SWEEP_TAG} = '{sweep}'", max_results=MOST_RUNS, page_token=token
        )
        for run in page:
            if TRIAL_KEY_TAG in run.data.tags and SUPERSEDED_TAG not in run.data.tags:
                yield run
        token = page.token
        if not token:
            return


def _run_id(client: Any, known: Sequence[Any], run: TrackedRun) -> str | None:  # noqa: ANN401
    """Return the newest run of this training. Its others, and those of other trainings, are tagged as superseded."""
    seconds = {record.epoch: getattr(record, IDENTITY) for record in run.epochs}
    found = None
    for other in known:
        other_id = str(other.info.run_id)
        history = client.get_metric_history(other_id, IDENTITY)
        if found is None and all(seconds.get(metric.step) == metric.value for metric in history):
            found = other_id
        else:
            client.set_tag(other_id, SUPERSEDED_TAG, "true")
    return found


def _new_run(client: Any, experiment: str, run: TrackedRun) -> str:  # noqa: ANN401
    made = client.create_run(experiment, start_time=_milliseconds(run.started), run_name=run.name, tags=run.tags)
    return str(made.info.run_id)


def _update(client: Any, run_id: str, run: TrackedRun) -> None:  # noqa: ANN401
    """Add what a run lacks. MLflow appends what is written twice, and refuses other values of parameters."""
    from mlflow.entities import Metric, Param, RunTag

    data = client.get_run(run_id).data
    done = {metric.step for metric in client.get_metric_history(run_id, IDENTITY)}
    ended = _milliseconds(run.ended)
    metrics = [
        Metric(name, float(value), _milliseconds(at), record.epoch)
        for record, at in zip(run.epochs, run.epoch_times, strict=True)
        if record.epoch not in done
        for name, value in epoch_metrics(record).items()
    ]
    final = differs(data.metrics, run.final)
    metrics += [Metric(name, value, ended, len(run.epochs)) for name, value in final.items()]
    params = [Param(name, str(value)) for name, value in run.params.items() if name not in data.params]
    tags = [RunTag(name, value) for name, value in differs(data.tags, run.tags).items()]
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])
    for start in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
    client.log_batch(run_id, tags=tags)
    status = FINISHED.get(run.trial.status, "FINISHED")
    client.update_run(run_id, status=status, name=run.name)
    if status != "RUNNING":
        client.set_terminated(run_id, status=status, end_time=ended)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
