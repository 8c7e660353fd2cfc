"""Which cluster is joined, what is refused of it, and what is given to trials, without starting Ray."""

from pathlib import Path

import pytest

import tune_main
from results.estimate import Place, Speed
from results.history import peak_memory
from search_spaces.resources import Node, ResourceRule
from search_spaces.tune_adapter import Cluster, Resources, _probe
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.execution import Share


def joined(monkeypatch: pytest.MonkeyPatch, variable: str | None, *options: str) -> Resources:
    if variable is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    return tune_main.resources(ResourceRule(), tune_main.build_parser().parse_args(["run", "quickstart", *options]))


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
        _probe("ray://head:10001")


@pytest.mark.parametrize("text", ["1.5", "-1", "many", "nan"])
def test_impossible_shares_of_a_gpu(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        tune_main.main(["run", "quickstart", f"--gpus-per-trial={text}"])
    assert refused.value.code == 2
    assert capsys.readouterr().err.startswith("batchscape: argument --gpus-per-trial: ")


def test_plan_says_what_each_trial_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("grid: {batch_size: [64, 512]}\nresources: {gpus: 0.25 if batch_size <= 128 else 1}\n")
    assert tune_main.main(["plan", str(space), "--store", str(tmp_path / "store"), "--cpus-per-trial", "2"]) == 0
    assert "\n  each   2 CPUs and 0.25 GPU (1), 2 CPUs and 1 GPU (1)\n" in capsys.readouterr().out


def test_a_wrong_rule_is_told_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        return Speed(Place(device, 1), "resnet_8", 64, "auto", "bf16", "run", 1.0, 1.0, num_bytes)

    speeds = [speed("a GPU", 5), speed("a GPU", 7), speed("a GPU", None), speed("another", 3)]
    case = ("resnet_8", 64, "auto")
    assert peak_memory(speeds) == {"a GPU": {case: 7}, "another": {case: 3}}


@pytest.mark.parametrize(("most", "slots", "under_way"), [(None, 4, 4), (2, 2, 2), (8, 4, 8)])
def test_a_search_may_ask_for_more_than_there_is_where_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, most: int | None, slots: int, under_way: int
) -> None:
    monkeypatch.setattr("search_spaces.tune_adapter._nodes", lambda: [Node(4.0, 0.0)])
    cluster = Cluster(Path(), Resources(max_concurrent=most), 0.0, {}, [Share()])
    assert (cluster.num_slots(), cluster.num_under_way()) == (slots, under_way)


def test_what_most_trials_are_given_stands_for_the_sweep() -> None:
    shares = [Share(1.0, 1.0), Share(2.0, 0.5), Share(2.0, 0.5)]
    cluster = Cluster(Path(), Resources(rule=ResourceRule(None, 2.0, 0.5)), 1.0, {}, shares)
    assert cluster.usual_share == Share(2.0, 0.5)
    assert cluster.share(PlannedTrial(TrainConfig(), 0, {})) == Share(2.0, 0.5)
