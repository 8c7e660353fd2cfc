"""What a trial is given of a machine, and what is refused before anything starts."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand
from search_spaces.resources import Node, ResourceRule, capacity, check_memory, check_possible, num_slots
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import PlannedTrial
from trainable.errors import UserError
from trainable.execution import Share

SPACE = """
    grid: {batch_size: [64, 512], base_lr: [0.1]}
    derive: {lr: base_lr * batch_size / 128}
    resources:
      cpus: 2
      gpus: %s
"""
SMALL, LARGE = Share(2.0, 0.25), Share(2.0, 1.0)


def declared(folder: Path, gpus: str) -> tuple[ResourceRule, list[PlannedTrial]]:
    loaded = load_text(folder, SPACE % gpus)
    return ResourceRule(loaded), expand(loaded, {}).trials


def shares(folder: Path, gpus: str) -> list[Share]:
    rule, trials = declared(folder, gpus)
    return [rule.share(trial, default_gpus=1.0) for trial in trials]


def test_a_function_of_the_configuration(tmp_path: Path) -> None:
    assert shares(tmp_path, "0.25 if batch_size <= 128 else 1") == [SMALL, LARGE]
    assert shares(tmp_path, "1 if model == 'resnet_110' else 0.25") == [SMALL, SMALL]
    assert shares(tmp_path, "base_lr * 10 / 4") == [SMALL, SMALL]
    assert shares(tmp_path, "1") == [LARGE, LARGE]


def test_resources_are_no_part_of_a_trial(tmp_path: Path) -> None:
    _, trials = declared(tmp_path, "1")
    _, others = declared(tmp_path, "0")
    assert [one.config.trial_key for one in trials] == [one.config.trial_key for one in others]


def test_the_command_line_comes_first_and_nothing_said_is_one_gpu_where_there_is_one(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, SPACE % "0.25")
    [trial, _] = expand(loaded, {}).trials
    assert ResourceRule(loaded, 4.0, 0.0).share(trial, 1.0) == Share(4.0, 0.0)
    assert ResourceRule().share(trial, 1.0) == Share(1.0, 1.0)
    assert ResourceRule().share(trial, 0.0) == Share(1.0, 0.0)


def test_shares_that_were_measured(tmp_path: Path) -> None:
    rule, trials = declared(tmp_path, "auto")
    assert rule.is_auto
    measured = {("resnet_preact_20", 128, "auto"): 0.125, ("resnet_preact_20", 512, "auto"): 0.5}
    assert [rule.share(trial, 1.0, measured).gpus for trial in trials] == [0.125, 0.5]
    assert [rule.share(trial, 0.0).gpus for trial in trials] == [0.0, 0.0]  # nothing to measure


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        ("1.5", "must be a fraction below 1 or a whole number, got 1.5 for resnet_preact_20, batch size 64"),
        ("-1", "must be a fraction below 1 or a whole number, got -1"),
        ("lr > 0.1 if", "cannot read the expression"),
        ("0.25 if bach_size < 128 else 1", "'bach_size' has no value: did you mean 'batch_size'?"),
        ("dataset", "'dataset' has no number but the word 'digits'"),
        ("[1, 2]", "must be a number"),
        ("", "is empty: for example gpus: 0.25 if batch_size <= 128 else 1, or leave it out"),
    ],
)
def test_mistakes_are_one_line_with_their_place(tmp_path: Path, gpus: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        shares(tmp_path, gpus)
    assert str(refused.value).startswith(f"{tmp_path}/space.yaml:5: resources.gpus: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space\.yaml:2: resources\.gpu: unknown key 'gpu': did you mean 'gpus'"):
        load_text(tmp_path, "grid: {lr: [1]}\nresources: {gpu: 1}\n")


def test_what_no_node_has_is_refused(tmp_path: Path) -> None:
    rule, trials = declared(tmp_path, "0.25 if batch_size <= 128 else 1")
    given = list(zip(trials, [SMALL, LARGE], strict=True))
    check_possible(rule, given, [Node(4.0, 0.0), Node(2.0, 1.0)])
    for nodes, message in (
        ([Node(8.0, 0.0)], "resources.gpus 0.25 for resnet_preact_20, batch size 64: no node has one"),
        ([Node(1.0, 4.0)], "resources.cpus 2 for resnet_preact_20, batch size 64: the largest node has 1"),
        ([Node(8.0, 0.0), Node(1.0, 1.0)], "no node has 2 CPUs and 0.25 GPU"),
        ([], "no node has one"),
    ):
        with pytest.raises(UserError) as refused:
            check_possible(rule, given, nodes)
        assert message in str(refused.value)
    with pytest.raises(UserError, match=r"^--cpus-per-trial 1: the largest node has 0$"):
        check_possible(ResourceRule(), [(trials[0], Share())], [Node(0.0, 0.0)])
    with pytest.raises(UserError, match=r"^--gpus-per-trial 2: the largest node has 1$"):
        check_possible(ResourceRule(None, None, 2.0), [(trials[0], Share(1.0, 2.0))], [Node(8.0, 1.0)])


def test_a_share_that_such_a_training_is_known_to_need_more_than_is_refused(tmp_path: Path) -> None:
    rule, trials = declared(tmp_path, "0.25")
    given = [(trial, SMALL) for trial in trials]
    gpu = 40 * 10**9
    check_memory(rule, given, {("resnet_preact_20", 512, "auto"): 9 * 10**9}, gpu)
    with pytest.raises(
        UserError, match=r"resnet_preact_20, batch size 512.* 9\.4 GB of a .* took 12\.0 GB: give it 0\.32"
    ):
        check_memory(rule, given, {("resnet_preact_20", 512, "auto"): 12 * 10**9}, gpu)
    check_memory(rule, [(trials[1], LARGE)], {("resnet_preact_20", 512, "auto"): 39 * 10**9}, gpu)


@pytest.mark.parametrize(
    ("nodes", "given", "slots"),
    [
        ([Node(2.0, 0.0)], [Share()], 2),
        ([Node(2.0, 0.0), Node(3.0, 0.0)], [Share()], 5),
        ([Node(16.0, 1.0)], [Share(1.0, 0.25)], 4),
        ([Node(3.0, 1.0)], [Share(1.0, 0.25)], 3),
        ([Node(16.0, 1.0)], [Share(1.0, 1 / 3)], 3),
        ([Node(8.0, 0.0)], [Share(1.0, 1.0)], 0),
        ([Node(8.0, 2.0)], [Share(1.0, 0.25), Share(1.0, 1.0)], 3),
        ([Node(1.0, 0.0)], [Share(0.1)], 10),
    ],
)
def test_trials_at_a_time(nodes: list[Node], given: list[Share], slots: int) -> None:
    assert num_slots(nodes, given) == slots


def test_what_plan_says_of_a_machine(tmp_path: Path) -> None:
    rule, trials = declared(tmp_path, "0.25 if batch_size <= 128 else 1")
    told = capacity(rule, [*trials, trials[0]], Node(8.0, 1.0))
    assert (told.usual, told.num_slots) == (SMALL, 1)
    assert told.text == "2 CPUs and 0.25 GPU (2), 2 CPUs and 1 GPU (1)"
    assert capacity(ResourceRule(), trials, Node(2.0, 0.0)).text == "1 CPU"
