"""Load a shipped space by its name, or any YAML file by its path, and check it."""

import dataclasses
import sys
from pathlib import Path

from pydantic import ValidationError

from search_spaces.own_code import dotted
from search_spaces.schema import Space
from search_spaces.search_checks import check_search
from search_spaces.validation_messages import empty_key_message, empty_keys, validation_message
from search_spaces.wandb_sweep import in_their_words, is_wandb_sweep, refuse_mixture, translated
from search_spaces.yaml_source import YamlSource, parse_yaml
from trainable.errors import UserError
from trainable.wording import closest, nearest, say

SUFFIXES = (".yaml", ".yml")
SHIPPED = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedSpace:
    """A space together with the file that it was read from."""

    name: str
    space: Space
    source: YamlSource
    notes: tuple[str, ...] = ()
    """What became of the keys of a W&B sweep, a line each."""

    def say_notes(self) -> None:
        """Print the notes to standard error."""
        for note in self.notes:
            say(f"note: {note}", file=sys.stderr)


def shipped_spaces() -> list[str]:
    """Names of the shipped spaces."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_space(name_or_path: str) -> LoadedSpace:
    """Load a shipped space by its name, or any file that ends in .yaml or .yml: a space, or a W&B sweep.

    Raises:
        UserError: There is no such space or file, it is not YAML, or a key or value is wrong.
    """
    path = Path(name_or_path)
    if name_or_path in shipped_spaces():
        path = SHIPPED / f"{name_or_path}.yaml"
    elif path.suffix not in SUFFIXES or not path.exists():
        files = [str(file) for suffix in SUFFIXES for file in path.parent.glob(f"*{suffix}")]
        if path.suffix not in SUFFIXES:
            meant = nearest(name_or_path, [*shipped_spaces(), *files])
            raise UserError(f"no space {name_or_path!r}: {meant} (or give the path of a .yaml file)")
        if close := closest(name_or_path, [*files, *shipped_spaces()]):
            raise UserError(f"cannot read {path}: there is no such file: did you mean {close[0]!r}?")
    source = parse_yaml(path)
    if not isinstance(source.content, dict):
        this = "this file is empty" if source.content is None else "this file is not"
        raise UserError(f"{path}:1: a space is a mapping with rows or grid, or search and parameters: {this}")
    notes: list[str] = []
    refuse_mixture(source)
    if is_wandb_sweep(source.content):
        source, notes = translated(source)
    source = dataclasses.replace(source, content=dotted(source.content, (), source))
    with in_their_words(source):
        space = _checked(source)
    return LoadedSpace(space.name or path.stem, space, source, tuple(notes))


def _checked(source: YamlSource) -> Space:
    """Return the space that a file asks for.

    Raises:
        UserError: a key or a value is wrong.
    """
    try:
        space = Space.model_validate(source.content)
    except ValidationError as error:
        raise UserError(validation_message(source, error)) from None
    for empty in empty_keys(source.content):
        raise UserError(f"{source.where(empty)}: {empty_key_message(empty)}")
    check_search(space, source)
    return space
