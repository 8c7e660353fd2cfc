"""Parameters of a search and axes of a grid that some trials do not use, such as `nesterov` with adamw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_spaces.parameters import SearchParameter
from search_spaces.schema import Space, axis_values
from search_spaces.trial_maker import parts_of
from search_spaces.yaml_source import KeyPath
from trainable.canonical import UNUSED_VALUES, unused_because
from trainable.config import FIELD_NAMES, TrainConfig
from trainable.wording import format_value

Point = Mapping[str, Any]
"""The value of every training field of a trial, as a space gives it."""


def make_point(config: TrainConfig, given: Mapping[str, Any]) -> Point:
    """Return the fields of a trial, with the values that the space gives in place of their canonical form."""
    return {**{name: getattr(config, name) for name in FIELD_NAMES}, **given}


def is_used(name: str, points: Iterable[Point]) -> bool:
    """Return whether a parameter has an effect at one of these points at least."""
    return name not in UNUSED_VALUES or any(unused_because(name, point) is None for point in points)


def causes(name: str, points: Sequence[Point]) -> dict[str, list[Any]]:
    """Return the fields that leave `name` without effect, each with those of its values that always do."""
    reasons = [unused_because(name, point) for point in points] if name in UNUSED_VALUES else []
    found: dict[str, list[Any]] = {}
    for cause in dict.fromkeys(reason for reason in reasons if reason is not None):
        used = [point[cause] for point, reason in zip(points, reasons, strict=True) if reason is None]
        values = [point[cause] for point, reason in zip(points, reasons, strict=True) if reason == cause]
        if always := [value for value in dict.fromkeys(values) if value not in used]:
            found[cause] = always
    return found


def no_effect_words(found: Mapping[str, Sequence[Any]]) -> str:
    """Return `has no effect with optimizer adamw or lars, nor with momentum 0`."""
    words = [
        f"without {cause}" if None in values else f"with {cause} {' or '.join(map(format_value, values))}"
        for cause, values in found.items()
    ]
    return f"has no effect {', nor '.join(words)}"


def unused_note(parameter: SearchParameter, points: Sequence[Point], others: Sequence[SearchParameter]) -> str | None:
    """Say at which values of others a parameter has no effect, and what to write; None if it always has.

    Args:
        points: points at the ends of the parameters where this one is proposed.
        others: all parameters in their order. Values between the ends of a continuous one are left aside.
    """
    owners = {
        key: other for other in others for key in other.keys if other.choices is not None or other.step is not None
    }
    found = {cause: values for cause, values in causes(parameter.name, points).items() if cause in owners}
    if not found:
        return None
    note = f"{parameter.name} {no_effect_words(found)}"
    if any(None in values for values in found.values()):  # `when` cannot compare it
        return note
    terms = [f"{cause} {_other_than(owners[cause], value)}" for cause in found for value in found[cause]]
    if parameter.when is not None:
        terms.insert(0, f"({parameter.when.text})")
    below = [owners[cause].name for cause in found if others.index(owners[cause]) > others.index(parameter)]
    move = f"move it below {' and '.join(below)} and " if below else ""
    return f"{note}: {move}give it `when: {' and '.join(terms)}`"


def _other_than(owner: SearchParameter, value: Any) -> str:  # noqa: ANN401 (the value of some field)
    relation = "!=" if owner.choices is not None else ">" if value == owner.low else "<"
    return f"{relation} {value!r}"


def unused_axes(space: Space, made: Sequence[tuple[KeyPath, Mapping[str, Any], TrainConfig]]) -> list[str]:
    """Say which axes of a grid have no effect on some of the trials that were made of combinations."""
    found: dict[str, None] = {}
    for path, part in parts_of(space):
        for axis in [name for name, values in (part.grid or {}).items() if len(axis_values(values)) > 1]:
            if axis in UNUSED_VALUES:
                points = [make_point(config, given) for where, given, config in made if where == (*path, "grid")]
                if why := causes(axis, points):
                    found[f"{axis} {no_effect_words(why)}"] = None
    return list(found)
