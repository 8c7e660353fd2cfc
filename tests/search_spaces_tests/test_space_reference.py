"""`reference:` is kept with the sweep."""

from pathlib import Path

import pytest
import yaml

from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from search_spaces.expansion import expand
from search_spaces.listing import show_space
from search_spaces.loader import load_space


@pytest.mark.parametrize(
    ("name", "tables"), [("longer_training", 5), ("initial_lr", 8), ("resnet110", 1), ("quickstart", 0)]
)
def test_it_is_read_back_from_the_manifest_in_the_store(tmp_path: Path, name: str, tables: int) -> None:
    loaded = load_space(name)
    (tmp_path / "mine").mkdir()
    manifest = Manifest("mine", expand(loaded, {}).trials, loaded.source.text, {}, "c0de")
    LocalStore(tmp_path).write_manifest(manifest)
    found = yaml.safe_load(LocalStore(tmp_path).manifest("mine").space).get("reference", [])
    assert found == loaded.space.reference
    assert len(found) == tables


def test_spaces_shows_it() -> None:
    assert "published tables: linear_scaling_400, linear_scaling_800" in show_space("linear_scaling_longer", [])


@pytest.mark.parametrize("scale", [None, "smoke"])
def test_the_scale_is_kept_in_the_manifest(tmp_path: Path, scale: str | None) -> None:
    (tmp_path / "mine").mkdir()
    LocalStore(tmp_path).write_manifest(Manifest("mine", [], "rows: [{lr: 1}]", {}, "c0de", scale))
    assert LocalStore(tmp_path).manifest("mine").scale == scale
