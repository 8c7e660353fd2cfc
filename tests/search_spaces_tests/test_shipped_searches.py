"""Every proposal of a shipped search can be trained, and the smoke scale is small."""

import random
import re

import pytest

from search_spaces.expansion import expand
from search_spaces.loader import load_space, shipped_spaces
from search_spaces.proposals import ProposalMaker
from trainable.data.sizes import NUM_IMAGES
from trainable.records import EpochRecord

SEARCHES = [name for name in shipped_spaces() if load_space(name).space.search is not None]
MAX_SMOKE_IMAGES = 250_000
"""Training images of all epochs, with confirmation and nothing stopped: about four minutes on two cores."""


def maker_of(name: str, scale: str | None) -> ProposalMaker:
    maker = expand(load_space(name), {}, scale).search
    assert maker is not None
    return maker


def test_the_searches_are_found() -> None:
    assert {"lr_batch_tpe_asha", "lr_batch_random", "lr_batch_mfgp", "lr_batch_pareto"} <= {*SEARCHES}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("scale", [None, "smoke"])
def test_random_proposals_can_be_trained(name: str, scale: str | None) -> None:
    maker = maker_of(name, scale)
    dice = random.Random(name)  # noqa: S311 (no secret)
    for _ in range(200):
        config = maker.trial(maker.draw(dice)).config
        config.for_dataset(config.dataset, "", *NUM_IMAGES[config.dataset])
        assert config.epochs <= maker.max_epochs
        assert config.holdout > 0


@pytest.mark.parametrize("name", SEARCHES)
def test_full_size_is_cifar10_with_resnet_preact_20(name: str) -> None:
    assert {(trial.config.dataset, trial.config.model) for trial in maker_of(name, None).corners} == {
        ("cifar10", "resnet_preact_20")
    }


@pytest.mark.parametrize("name", SEARCHES)
def test_smoke_is_small(name: str) -> None:
    maker = maker_of(name, "smoke")
    confirm = maker.confirm
    num_trials = maker.num_trials + (0 if confirm is None else confirm.top * confirm.repeats)
    assert {trial.config.dataset for trial in maker.corners} == {"digits"}
    assert maker.max_epochs * num_trials * NUM_IMAGES["digits"][0] <= MAX_SMOKE_IMAGES


@pytest.mark.parametrize("name", SEARCHES)
def test_every_metric_is_recorded_each_epoch_and_none_is_of_test(name: str) -> None:
    for objective in maker_of(name, None).objectives:
        assert objective.metric in EpochRecord.__dataclass_fields__
        assert "test" not in objective.metric


@pytest.mark.parametrize("name", SEARCHES)
def test_the_header_tells_the_measured_cost_of_smoke(name: str) -> None:
    header = load_space(name).source.text.split("\nname:")[0]
    assert re.search(r"^#          smoke: measured \d+\.\d minutes on two CPU cores", header, re.MULTILINE)
    assert re.search(r"^# Outcome: full: not yet run\. smoke: ", header, re.MULTILINE)
