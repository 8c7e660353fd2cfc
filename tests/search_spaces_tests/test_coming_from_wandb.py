"""The example of docs/coming-from-wandb.md is a space, and asks for what the W&B sweep beside it asks for."""

import re
from pathlib import Path

import pytest
import yaml

from search_spaces.expansion import expand
from search_spaces.loader import load_space
from search_spaces.schema import Space
from search_spaces.translations import TRANSLATIONS
from tests.conftest import ROOT
from trainable.wording import nearest

THEIRS, OURS = re.findall(
    r"^```yaml\n(.*?)^```",
    (ROOT / "docs" / "coming-from-wandb.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def test_the_translated_sweep_asks_for_the_same(tmp_path: Path) -> None:
    path = tmp_path / "my_sweep.yaml"
    path.write_text(OURS, encoding="utf-8")
    theirs, loaded = yaml.safe_load(THEIRS), load_space(str(path))
    space, search = loaded.space, expand(loaded, {}).search
    assert search is not None
    assert search.num_trials == theirs["run_cap"]
    assert space.parameters is not None
    ranges = {name: given for name, given in theirs["parameters"].items() if "value" not in given}
    assert {name: given.model_dump(exclude_unset=True) for name, given in space.parameters.items()} == ranges
    assert space.defaults["epochs"] == theirs["parameters"]["epochs"]["value"]
    assert space.scheduler is not None
    early = theirs["early_terminate"]
    assert (space.scheduler.grace_epochs, space.scheduler.reduction_factor) == (early["min_iter"], early["eta"])


@pytest.mark.parametrize("word", sorted(yaml.safe_load(THEIRS).keys() - Space.model_fields.keys()))
def test_their_words_are_translated(word: str) -> None:
    assert not nearest(word, Space.model_fields, TRANSLATIONS).startswith("valid: ")
