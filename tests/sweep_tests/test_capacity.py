"""What nodes can run: refusals before anything starts, and the number of trials at a time."""

from pathlib import Path

import pytest

from search_spaces.resources import ResourceRule
from sweep.driver.capacity import Node, capacity, check_memory, check_possible, num_slots
from tests.search_spaces_tests.test_resources import LARGE, SMALL, declared
from trainable.errors import UserError
from trainable.execution import Share


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
