"""Spaces written in the test itself."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from search_spaces.expansion import Expansion, expand
from search_spaces.loader import LoadedSpace, load_space
from trainable.config import TrainConfig


def load_text(folder: Path, text: str) -> LoadedSpace:
    """Load a space from text, which becomes `folder`/space.yaml."""
    path = folder / "space.yaml"
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return load_space(str(path))


def expand_text(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> Expansion:
    return expand(load_text(folder, text), overrides or {})


def configs_of(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> list[TrainConfig]:
    return [trial.config for trial in expand_text(folder, text, overrides).trials]
