"""Searches written in the test itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.expansion import expand
from search_spaces.proposals import ProposalMaker
from tests.search_spaces_tests.space_samples import load_text

SEARCH = "search: {algorithm: tpe, num_trials: 4}\n"
LR = "parameters: {lr: {min: 0.01, max: 1.0}}\n"


def maker_of(
    folder: Path, text: str, overrides: Mapping[str, Any] | None = None, scale: str | None = None
) -> ProposalMaker:
    maker = expand(load_text(folder, text), overrides or {}, scale).search
    assert maker is not None
    return maker
