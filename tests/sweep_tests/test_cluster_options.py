"""Which cluster is joined, what is refused of it, and what is given to trials, without starting Ray."""

import contextlib
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

import tune_main
from cli.parser import build_parser
from cli.run import request_of
from results.store.local_store import LocalStore
from search_spaces.resources import ResourceRule
from sweep.driver import cluster as cluster_module
from sweep.driver.callbacks import ObserverCallback
from sweep.driver.capacity import Node
from sweep.driver.cluster import Cluster, connected, wait_for_nodes
from sweep.driver.ray_guard import RayGuard
from sweep.driver.scratch import MAX_PATH_BYTES
from sweep.driver.stop_request import StopRequest
from sweep.estimate.history import peak_memory
from sweep.estimate.speeds import DeviceProfile, Speed
from sweep.preparation import check_reachable
from sweep.request import RunRequest
from trainable.config import PlannedTrial, TrainConfig
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.execution import Share
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import TRIAL_KEY, report

GUARD = RayGuard(Path(), joins_cluster=False)


def joined(monkeypatch: pytest.MonkeyPatch, variable: str | None, *options: str) -> RunRequest:
    if variable is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    return request_of(build_parser().parse_args(["run", "quickstart", *options]))


@pytest.mark.parametrize(
    ("variable", "options", "address"),
    [
        (None, (), None),
        ("", (), None),
        ("10.0.0.1:6379", (), "10.0.0.1:6379"),
        ("10.0.0.1:6379", ("--address", "auto"), "auto"),
        ("10.0.0.1:6379", ("--address", "local"), None),
        ("local", (), None),
    ],
)
def test_the_option_comes_before_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, options: tuple[str, ...], address: str | None
) -> None:
    found = joined(monkeypatch, variable, *options)
    assert found.is_joined == (address is not None)
    if address is not None:
        assert found.address == address


def test_ray_client_is_refused_with_what_to_type() -> None:
    with pytest.raises(UserError, match=r"--address ray://head:10001: .* ray job submit --address http://HEAD:8265"):
        check_reachable("ray://head:10001")


@pytest.mark.parametrize("text", ["1.5", "-1", "many", "nan"])
def test_impossible_shares_of_a_gpu(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["run", "quickstart", f"--gpus-per-trial={text}"]) == 2
    assert capsys.readouterr().err.startswith("batchscape: argument --gpus-per-trial: ")


def test_plan_says_what_each_trial_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("grid: {batch_size: [64, 512]}\nresources: {gpus: 0.25 if batch_size <= 128 else 1}\n")
    assert tune_main.main(["plan", str(space), "--store", str(tmp_path / "store"), "--cpus-per-trial", "2"]) == 0
    assert "\n  each   2 CPUs and 0.25 GPU (1), 2 CPUs and 1 GPU (1)\n" in capsys.readouterr().out


def test_a_wrong_rule_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("grid: {batch_size: [64, 512]}\nresources:\n  gpus: batch_size / 100\n")
    for command in ("run", "plan"):
        assert tune_main.main([command, str(space), "--store", str(tmp_path / "store")]) == 2
        assert capsys.readouterr().err == (
            f"batchscape: {space}:3: resources.gpus: must be a fraction below 1 or a whole number, got 5.12 "
            "for resnet_preact_20, batch size 512\n"
        )
    assert not (tmp_path / "store").exists()


def test_the_most_that_a_configuration_took_on_a_device() -> None:
    def speed(device: str, num_bytes: int | None) -> Speed:
        return Speed(DeviceProfile(device, 1), "resnet_8", 64, "auto", "bf16", "run", 1.0, 1.0, num_bytes)

    speeds = [speed("a GPU", 5), speed("a GPU", 7), speed("a GPU", None), speed("another", 3)]
    case = ("resnet_8", 64, "auto")
    assert peak_memory(speeds) == {"a GPU": {case: 7}, "another": {case: 3}}


@pytest.mark.parametrize(("most", "slots", "under_way"), [(None, 4, 4), (2, 2, 2), (8, 4, 8)])
def test_a_search_may_ask_for_more_than_there_is_where_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, most: int | None, slots: int, under_way: int
) -> None:
    monkeypatch.setattr("sweep.driver.cluster.living_nodes", lambda: [Node(4.0, 0.0)])
    cluster = Cluster(GUARD, RunRequest(space="s", max_concurrent=most), ResourceRule(), 0.0, {}, [Share()])
    assert (cluster.num_slots(), cluster.num_under_way()) == (slots, under_way)


def test_what_most_trials_are_given_is_shown_for_the_sweep() -> None:
    shares = [Share(1.0, 1.0), Share(2.0, 0.5), Share(2.0, 0.5)]
    cluster = Cluster(GUARD, RunRequest(space="s"), ResourceRule(None, 2.0, 0.5), 1.0, {}, shares)
    assert cluster.usual_share == Share(2.0, 0.5)
    assert cluster.share(PlannedTrial(TrainConfig(), 0, {})) == Share(2.0, 0.5)


def test_nodes_are_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    there = [Node(1.0, 0.0)]
    monkeypatch.setattr("sweep.driver.cluster.living_nodes", lambda: there)
    monkeypatch.setattr("sweep.driver.cluster.time.sleep", lambda seconds: there.append(Node(1.0, 1.0)))
    wait_for_nodes(1)
    assert capsys.readouterr().out == ""
    wait_for_nodes(3)
    assert len(there) == 3
    assert capsys.readouterr().out == "waiting for 3 nodes, 1 there ...\n"


def test_what_the_store_knows_of_memory_is_held_against_the_gpu_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The GPU is asked for its name and size by a task, which is made up here."""
    task = MagicMock()
    task.get.return_value = ("a GPU", 40 * 10**9)
    monkeypatch.setattr("sweep.driver.cluster.ray", task)
    trials = [PlannedTrial(TrainConfig(batch_size=512), 0, {})]
    peaks = {"a GPU": {("resnet_preact_20", 512, "auto"): 12 * 10**9}}
    for gpus, is_refused in ((0.25, True), (0.5, False), (1.0, False)):
        cluster = Cluster(GUARD, RunRequest(space="s"), ResourceRule(None, None, gpus), 1.0, {}, [Share(1.0, gpus)])
        with pytest.raises(UserError, match=r"took 12\.0 GB") if is_refused else contextlib.nullcontext():
            cluster.check_memory(trials, peaks)
        cluster.check_memory(trials, {"another GPU": peaks["a GPU"]})
        cluster.check_memory(trials, {})


def test_a_trial_that_makes_progress_is_never_given_up(tmp_path: Path) -> None:
    """A trial survives any number of lost nodes, unless it never finishes an epoch between two losses."""
    setup = TrialSetup({}, tmp_path, RunInfo("run", 1, ""), "")
    callback = ObserverCallback([], setup, LocalStore(tmp_path), StopRequest(), None)
    trial = SimpleNamespace(config={TRIAL_KEY: "a"}, run_metadata=SimpleNamespace(num_failures=2))
    record = EpochRecord(**dict.fromkeys((spec.name for spec in dataclasses.fields(EpochRecord)), 1))
    callback.on_trial_result(1, [], trial, report(Progress(record, Status.INCOMPLETE, replayed=True)))
    assert trial.run_metadata.num_failures == 2
    callback.on_trial_result(1, [], trial, report(Progress(None, Status.FAILED, replayed=False)))
    assert trial.run_metadata.num_failures == 2
    callback.on_trial_result(1, [], trial, report(Progress(record, Status.INCOMPLETE, replayed=False)))
    assert trial.run_metadata.num_failures == 0


@pytest.mark.parametrize(("hidden", "gpus"), [("-1", {"num_gpus": 0}), ("0", {})])
def test_ray_gets_the_processors_that_plan_counts_and_a_short_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_data: ImageData, hidden: str, gpus: dict[str, int]
) -> None:
    monkeypatch.setattr("sweep.driver.capacity.usable_processors", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    long = tmp_path / ("l" * 40)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    asked: dict[str, object] = {}

    def start(**options: object) -> None:
        asked.update(options)
        (Path(str(options["_temp_dir"])) / "session").touch()
        raise RuntimeError("enough")

    monkeypatch.setattr("ray.init", start)
    request = RunRequest(space="s")
    with pytest.raises(UserError, match="enough"), connected(request, ResourceRule(), [], tiny_data):
        pytest.fail("connected")
    folder = Path(str(asked["_temp_dir"]))
    assert len(str(folder)) <= MAX_PATH_BYTES
    assert not folder.parent.exists()
    assert list(long.iterdir()) == []
    assert asked["num_cpus"] == 3
    assert {name: asked[name] for name in asked if name == "num_gpus"} == gpus


def test_a_machine_on_which_ray_starts_too_slowly_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = Exception("The current node timed out during startup. This could happen because some of the raylet failed")
    monkeypatch.setattr("ray.init", MagicMock(side_effect=slow))
    monkeypatch.setattr(cluster_module, "copy_source", MagicMock())
    with pytest.raises(
        UserError, match=r"^Ray did not start in time, the machine is busy: run the same command again$"
    ):
        cluster_module._start(joined(monkeypatch, None), tmp_path, tmp_path, 0)
