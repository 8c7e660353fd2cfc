"""What `export` writes for MLflow, W&B and TensorBoard, read back.

In CI, TensorBoard's files are read for real, and MLflow and W&B are thin fakes: mlflow-skinny takes 70 MB, wandb
65 MB, both seconds to start. Where they are installed, `pytest -m trackers` reads back by their own programs.
"""

import copy
import importlib
import json
import math
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import tune_main
from results.store.local_store import LocalStore
from sweep.trackers.mlflow_export import IDENTITY
from sweep.trial_label import MAX_RUN_NAME, run_name
from tests.results_tests.result_samples import (
    END,
    START,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from tests.trainable_tests.test_tensorboard_files import read_events, scalars
from trainable.records import Status

SLOW = make_config(lr=0.1, epochs=3, weight_decay=0.0)
FAST = make_config(lr=0.2, epochs=3, optimizer="adamw")
NAMES = ["lr=0.1, optimizer=sgd, weight_decay=0", "lr=0.2, optimizer=adamw, weight_decay=0.0001"]
ENDED = datetime.fromisoformat(END).timestamp()
STARTED = datetime.fromisoformat(START).timestamp()


def store_sweep(folder: Path, *, slow_epochs: int) -> list[str]:
    """Write one trial with some of its 3 epochs and one that diverged; return the options that name the store."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    store = LocalStore(folder / "runs")
    epochs = [make_epoch(epoch, 40.0 - epoch) for epoch in range(1, slow_epochs + 1)]
    write_trial(store, SLOW, epochs, make_end(Status.COMPLETE, 3) if slow_epochs == 3 else None)
    diverged = [make_epoch(1, 30.0), make_epoch(2, None, train_loss=None, train_seconds=4.0)]
    write_trial(store, FAST, diverged, make_end(Status.DIVERGED, 2))
    store.write_manifest(make_manifest([SLOW, FAST]))
    return ["export", "sweep", "--store", str(folder / "runs")]


def export_twice(folder: Path, *target: str) -> None:
    """Export the sweep while a trial is unfinished, twice, and again when it has ended."""
    for _ in range(2):
        assert tune_main.main([*store_sweep(folder, slow_epochs=1), *target]) == 0
    assert tune_main.main([*store_sweep(folder, slow_epochs=3), *target]) == 0


def test_tensorboard_has_a_folder_a_trial_that_is_written_again(tmp_path: Path) -> None:
    export_twice(tmp_path, "--tensorboard", str(tmp_path / "logs"))
    folder = tmp_path / "logs" / "sweep"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    slow, fast = (folder / name for name in NAMES)
    assert scalars(slow, "test_error_percent") == [(1, 39.0), (2, 38.0), (3, 37.0)]
    assert scalars(slow, "final/test_error_percent") == [(3, 37.0)]
    assert [step for step, _ in scalars(fast, "train_loss")] == [1]
    times = [event.wall_time for event in read_events(fast) if event.summary.value and event.step]
    assert times[0] == STARTED + 2.5
    assert (STARTED + 2.5 + 4.5) in times
    assert times[-1] == ENDED


def test_a_name_that_changes_leaves_no_folder_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "sweep"
    store = LocalStore(tmp_path / "runs")
    write_trial(store, SLOW, [make_epoch(1, 39.0)])
    store.write_manifest(make_manifest([SLOW, FAST]))
    arguments = ["export", "sweep", "--store", str(tmp_path / "runs"), "--tensorboard", str(tmp_path / "logs")]
    assert tune_main.main(arguments) == 0
    (alone,) = folder.iterdir()
    assert alone.name not in NAMES
    (folder / "mine").mkdir()
    (folder / "mine" / "events.out.tfevents.1").touch()
    write_trial(store, FAST, [make_epoch(1, 30.0)])
    assert tune_main.main(arguments) == 0
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES, "mine"]
    assert list((folder / "mine").iterdir())


def test_names_are_short_and_differ() -> None:
    taken: set[str] = set()
    near = [make_config(lr=0.1), make_config(lr=0.100001), make_config(lr=0.3, seed=7)]
    names = [run_name(config, ["lr", "seed"], taken) for config in near]
    assert names == ["lr=0.1, seed 0", f"lr=0.1, seed 0 {near[1].trial_key[:8]}", "lr=0.3, seed 7"]
    assert run_name(near[0], [], set()).startswith("model=resnet_preact_20, batch_size=128, lr=0.1")
    long = make_config(model="m.py:Net", model_fingerprint="0" * 16, model_args={f"a{i}": i for i in range(40)})
    assert len(run_name(long, ["model_args"], set())) <= MAX_RUN_NAME + 9


class FakeClient:
    """MLflow's client, as far as the export uses it. It appends metrics and refuses other values of parameters."""

    runs: dict[str, SimpleNamespace]

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> Any:  # noqa: ANN401
        return SimpleNamespace(lifecycle_stage="active", experiment_id="1") if self.runs else None

    def create_experiment(self, name: str) -> str:
        return "1"

    def search_runs(self, experiments: list[str], query: str, max_results: int, page_token: str | None) -> Any:  # noqa: ANN401
        assert query == "tags.sweep = 'sweep'"
        place = int(page_token or 0)

        class Page(list[Any]):
            token = str(place + 1) if place + 1 < len(self.runs) else None

        return Page(list(self.runs.values())[place : place + 1])

    def create_run(self, experiment: str, start_time: int, run_name: str, tags: dict[str, str]) -> Any:  # noqa: ANN401
        info = SimpleNamespace(run_id=str(len(self.runs)), start_time=start_time, status="RUNNING", run_name=run_name)
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        self.runs[info.run_id] = SimpleNamespace(info=info, data=data, history=[])
        return self.runs[info.run_id]

    def get_run(self, run_id: str) -> Any:  # noqa: ANN401
        return self.runs[run_id]

    def get_metric_history(self, run_id: str, name: str) -> list[Any]:
        return [metric for metric in self.runs[run_id].history if metric.key == name]

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:  # noqa: ANN401
        run = self.runs[run_id]
        assert len(metrics) <= 1000
        run.history += metrics
        run.data.metrics |= {metric.key: metric.value for metric in metrics}
        assert not {param.key for param in params} & run.data.params.keys()
        run.data.params |= {param.key: param.value for param in params}
        run.data.tags |= {tag.key: tag.value for tag in tags}

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self.runs[run_id].data.tags[name] = value

    def update_run(self, run_id: str, status: str, name: str) -> None:
        self.runs[run_id].info.status, self.runs[run_id].info.run_name = status, name

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.runs[run_id].info.end_time = end_time


def fake_module(monkeypatch: pytest.MonkeyPatch, name: str, **content: object) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, origin="a fake")
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def mlflow_runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The runs of a fake MLflow, by their id."""

    def entity(key: str, value: object, timestamp: int = 0, step: int = 0) -> SimpleNamespace:
        return SimpleNamespace(key=key, value=value, timestamp=timestamp, step=step)

    monkeypatch.setattr(FakeClient, "runs", {}, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # so that it is as before afterwards
    fake_module(monkeypatch, "mlflow")
    fake_module(monkeypatch, "mlflow.tracking", MlflowClient=FakeClient)
    fake_module(monkeypatch, "mlflow.entities", Metric=entity, Param=entity, RunTag=entity)
    return FakeClient.runs


def test_mlflow_has_a_run_a_trial_that_is_brought_up_to_date(
    mlflow_runs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_twice(tmp_path, "--mlflow", "sqlite:///mlflow.db")
    assert [run.info.run_name for run in mlflow_runs.values()] == NAMES
    check_mlflow_runs(list(mlflow_runs.values()), [run.history for run in mlflow_runs.values()])
    assert "2 runs written to the experiment 'sweep'\nnext: mlflow ui" in capsys.readouterr().out


def check_mlflow_runs(runs: list[Any], histories: list[list[Any]]) -> None:
    """Check what is in the two runs; `histories` are the metrics of each."""
    slow, fast = runs
    assert [run.info.status for run in (slow, fast)] == ["FINISHED", "FINISHED"]
    assert (slow.info.start_time, slow.info.end_time) == (
        STARTED * 1000,
        datetime.fromisoformat(END).timestamp() * 1000,
    )
    errors = [
        (metric.step, metric.value, metric.timestamp) for metric in histories[0] if metric.key == "test_error_percent"
    ]
    assert errors == [(epoch, 40.0 - epoch, (STARTED + 2.5 * epoch) * 1000) for epoch in (1, 2, 3)]
    assert (slow.data.params["lr"], slow.data.params["optimizer"]) == ("0.1", "sgd")
    assert slow.data.tags["status"] == "COMPLETE"
    assert slow.data.tags["trial_key"] == SLOW.trial_key
    assert slow.data.metrics["final/test_error_percent"] == 37.0
    assert fast.data.tags["status"] == "DIVERGED"
    assert "final/test_error_percent" not in fast.data.metrics
    assert not any(math.isnan(metric.value) for metric in histories[1])


def test_a_run_of_another_training_and_a_second_run_of_one_are_superseded(
    mlflow_runs: dict[str, Any], tmp_path: Path
) -> None:
    store_options = store_sweep(tmp_path, slow_epochs=1)
    assert tune_main.main([*store_options, "--mlflow", "x"]) == 0
    mlflow_runs["0"].history = [
        SimpleNamespace(key=metric.key, value=metric.value + 1, step=metric.step)
        for metric in mlflow_runs["0"].history
    ]
    for _ in range(2):
        assert tune_main.main([*store_options, "--mlflow", "x"]) == 0
    twin = copy.deepcopy(mlflow_runs["2"])  # as an interrupted `run --log mlflow` leaves it
    twin.info.run_id = "3"
    mlflow_runs["3"] = twin
    assert tune_main.main([*store_options, "--mlflow", "x"]) == 0
    superseded = {number for number, run in mlflow_runs.items() if "superseded" in run.data.tags}
    assert superseded == {"0", "3"}
    assert len([metric for metric in mlflow_runs["2"].history if metric.key == IDENTITY]) == 1


def test_a_tracker_that_fails_is_one_line(
    mlflow_runs: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("nobody there.\nat all")

    monkeypatch.setattr(FakeClient, "create_experiment", fail)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    assert tune_main.main([*store_sweep(tmp_path, slow_epochs=1), "--mlflow", "http://x"]) == 2
    assert capsys.readouterr() == ("", "batchscape: export --mlflow http://x: nobody there\n")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"  # else that takes four minutes


class FakeWandb:
    """The module wandb, offline, as far as the export uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[SimpleNamespace] = []
        self.Settings = SimpleNamespace

    def setup(self) -> SimpleNamespace:
        return SimpleNamespace(settings=SimpleNamespace(mode="offline"))

    def init(self, **given: Any) -> SimpleNamespace:  # noqa: ANN401
        files = self.folder / "wandb" / f"offline-run-{len(self.runs)}-{given['id']}" / "files"
        files.mkdir(parents=True)
        run = SimpleNamespace(given=given, dir=str(files), step=0, history=[], summary={}, code=None)
        run.log = lambda row, step: run.history.append((step, row))
        run.finish = lambda exit_code: setattr(run, "code", exit_code)
        self.runs.append(run)
        return run


def test_wandb_has_a_run_a_trial_and_one_folder_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = FakeWandb(tmp_path)
    fake_module(monkeypatch, "wandb", **{name: getattr(wandb, name) for name in ("setup", "init", "Settings")})
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    export_twice(tmp_path, "--wandb", "project")
    slow, fast = wandb.runs[-2:]
    assert [run.given["name"] for run in (slow, fast)] == NAMES
    assert slow.given["id"] == f"sweep-{SLOW.trial_key}-20260102030405"
    assert (slow.given["project"], slow.given["group"], slow.given["tags"]) == ("project", "sweep", ["complete"])
    assert (slow.given["config"]["lr"], slow.given["config"]["status"]) == (0.1, "COMPLETE")
    assert [(step, row["test_error_percent"], row["_timestamp"]) for step, row in slow.history] == [
        (epoch, 40.0 - epoch, STARTED + 2.5 * epoch) for epoch in (1, 2, 3)
    ]
    assert slow.summary["final/test_error_percent"] == 37.0
    assert slow.code == 0
    assert len(list((tmp_path / "wandb").iterdir())) == 2


@pytest.mark.parametrize(("option", "package"), [("--mlflow", "mlflow-skinny"), ("--wandb", "wandb")])
def test_a_missing_package_is_one_line(
    option: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tune_main.main([*store_sweep(tmp_path, slow_epochs=1), option, "x"]) == 2
    message = f"batchscape: export {option}: that package is not installed: pip install {package}\n"
    assert capsys.readouterr() == ("", message)


@pytest.mark.trackers
@pytest.mark.filterwarnings("default")
def test_mlflow_itself_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    export_twice(tmp_path, "--mlflow", uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("sweep").experiment_id
    runs = sorted(client.search_runs([experiment]), key=lambda run: str(run.info.run_name))
    assert [run.info.run_name for run in runs] == NAMES
    names = [name for name in runs[0].data.metrics if not name.startswith("final/")]
    histories = [
        [metric for name in names for metric in client.get_metric_history(run.info.run_id, name)] for run in runs
    ]
    check_mlflow_runs(runs, histories)


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file: 7 bytes, then LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, part = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        part += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield Record.FromString(part)
            part = b""


@pytest.mark.trackers
@pytest.mark.filterwarnings("default")
def test_wandb_itself_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    export_twice(tmp_path, "--wandb", "project")
    (path,) = tmp_path.glob(f"wandb/offline-run-*{SLOW.trial_key}*/*.wandb")
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2
    records = list(wandb_records(path))
    (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (run.display_name, run.project, run.run_group, list(run.tags)) == (
        NAMES[0],
        "project",
        "sweep",
        ["complete"],
    )
    config = {update.key: json.loads(update.value_json) for update in run.config.update}
    assert (config["lr"], config["trial_key"]) == (0.1, SLOW.trial_key)
    rows = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(row["_step"], row["test_error_percent"], row["_timestamp"]) for row in rows] == [
        (epoch, 40.0 - epoch, STARTED + 2.5 * epoch) for epoch in (1, 2, 3)
    ]


@pytest.mark.trackers
@pytest.mark.filterwarnings("default")
def test_the_hparams_page_itself_shows_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context

    logs = str(tmp_path / "logs")
    assert tune_main.main([*store_sweep(tmp_path, slow_epochs=1), "--tensorboard", logs]) == 0
    accumulator = EventAccumulator(f"{logs}/sweep/{NAMES[1]}")
    accumulator.Reload()
    assert [(event.step, event.wall_time) for event in accumulator.Scalars("lr")] == [
        (1, STARTED + 2.5),
        (2, STARTED + 7),
    ]
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(logs)
    runs.Reload()
    page = Context(TBContext(data_provider=MultiplexerDataProvider(runs, logs)))
    asked = RequestContext()
    experiment = page.experiment_from_metadata(asked, "", True, page.hparams_metadata(asked, ""), None)
    assert {"lr", "optimizer", "betas", "status"} <= {column.name for column in experiment.hparam_infos}
    assert "final/train_loss" not in {column.name.tag for column in experiment.metric_infos}
    assert "final/train_seconds" in {column.name.tag for column in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(slice_size=10, allowed_statuses=[api_pb2.STATUS_SUCCESS])
    groups = list_session_groups.Handler(asked, page, "", request).run().session_groups
    assert sorted((group.hparams["lr"].number_value, group.hparams["status"].string_value) for group in groups) == [
        (0.1, "INCOMPLETE"),
        (0.2, "DIVERGED"),
    ]
