"""Names of models: what is understood, what is refused and with which hint."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.names import FAMILIES, display_name, name_in_yaml, parse_model_name
from models.registry import BUILDERS, build_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("resnet_8", ("resnet", 8)),
        ("resnet_110", ("resnet", 110)),
        ("resnet_preact_20", ("resnet_preact", 20)),
        ("resnet_preact_1202", ("resnet_preact", 1202)),
    ],
)
def test_name_splits_into_family_and_depth(name: str, parsed: tuple[str, int]) -> None:
    assert parse_model_name(name) == parsed


@pytest.mark.parametrize(("depth", "hint"), [(0, 8), (2, 8), (7, 8), (9, 8), (19, 14), (21, 20), (109, 104)])
@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_depth_off_6n_2_is_refused_with_one_that_works(family: str, depth: int, hint: int) -> None:
    with pytest.raises(ValueError, match=rf"{family}_{depth}'.*6n\+2.*try {family}_{hint}$"):
        parse_model_name(f"{family}_{depth}")
    assert parse_model_name(f"{family}_{hint}") == (family, hint)


@pytest.mark.parametrize(
    "name", ["vgg_16", "resnet", "resnet_", "resnet_x", "resnet20", "Resnet_20", "", "resnet_-8"]
)
def test_unknown_family_is_refused_with_the_families(name: str) -> None:
    with pytest.raises(ValueError, match="resnet_DEPTH or resnet_preact_DEPTH") as caught:
        parse_model_name(name)
    assert repr(name) in str(caught.value)


def test_display_name_is_that_of_the_published_tables() -> None:
    assert display_name("resnet_preact_20") == "ResNet-preact-20"
    assert display_name("resnet_110") == "ResNet-110"


@pytest.mark.parametrize("name", ["resnet_preact_20", "resnet_110", "net.py:ResNet-8", "vgg_16", "ResNet", ""])
def test_the_name_of_a_table_is_read_as_that_of_a_space(name: str) -> None:
    assert name_in_yaml(display_name(name) if name.endswith("0") else name) == name


def test_display_name_refuses_what_is_no_model() -> None:
    with pytest.raises(ValueError, match="6n"):
        display_name("resnet_9")


def test_every_family_can_be_built() -> None:
    assert FAMILIES.keys() == BUILDERS.keys()
    for family in FAMILIES:
        model = build_model(f"{family}_8", 3, torch.Generator().manual_seed(0)).eval()
        assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_build_model_refuses_an_impossible_depth() -> None:
    with pytest.raises(ValueError, match="try resnet_14"):
        build_model("resnet_16", 10, torch.Generator().manual_seed(0))


def test_names_are_checked_without_torch() -> None:
    program = "import sys, models.names; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
