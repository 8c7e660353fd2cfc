"""Spaces written in the test itself."""

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from search_spaces.expansion import Expansion, expand
from search_spaces.loader import LoadedSpace, load_space
from trainable.config import TrainConfig
from trainable.errors import UserError


def load_text(folder: Path, text: str) -> LoadedSpace:
    """Load a space from text, which becomes `folder`/space.yaml."""
    path = folder / "space.yaml"
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return load_space(str(path))


def expand_text(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> Expansion:
    return expand(load_text(folder, text), overrides or {})


def configs_of(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> list[TrainConfig]:
    return [trial.config for trial in expand_text(folder, text, overrides).trials]


def refusal(folder: Path, text: str, overrides: Mapping[str, Any] | None = None, scale: str | None = None) -> str:
    """The message, one line in our own words, that refuses a space; `FILE` stands for the path of its file."""
    with pytest.raises(UserError) as caught:
        expand(load_text(folder, text), overrides or {}, scale)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search("(?i)input should|should (be|have)|valid string|after validation", message), "pydantic's own"
    return message.replace(str(folder / "space.yaml"), "FILE")
