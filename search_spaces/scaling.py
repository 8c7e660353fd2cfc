"""The scales of a space: the same trials at another size, for example `smoke` for minutes on two cores.

A scale changes the complete full-scale trial, whose milestones are already fractions of the training. The variables
of a scaled trial record the model, epochs and batch size of the full-scale one.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from search_spaces.expressions import Expression, Number, Operand, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.yaml_source import YamlSource
from trainable.config import FIELD_NAMES, TrainConfig, check_settable, is_field
from trainable.errors import UserError, located
from trainable.records import PUBLISHED_BATCH_SIZE, PUBLISHED_EPOCHS, PUBLISHED_GHOST_BATCH_SIZE, PUBLISHED_MODEL
from trainable.rounding import tidied
from trainable.wording import nearest


@dataclasses.dataclass(frozen=True, slots=True)
class Scaling:
    """A scale with parsed expressions."""

    name: str
    settings: Mapping[str, Any]
    expressions: Mapping[str, Expression]
    source: YamlSource

    def values(self, full: TrainConfig, variables: Mapping[str, Operand]) -> dict[str, Any]:
        """All fields of the scaled trial, not checked yet.

        Args:
            variables: variables of the full-scale trial; expressions may use them.

        Raises:
            UserError: An expression cannot be computed.
        """
        values = full.to_dict()
        operands = operands_of({**dataclasses.asdict(full), **variables})
        derived: dict[str, Number] = {}
        for key, expression in self.expressions.items():
            with located(self.where(key)):
                derived[key] = tidied(expression.compute(operands))
        return {**values, **self.settings, **derived}

    def where(self, field: str | None) -> str:
        """The location of this field in the scale, or of the scale."""
        if field is None:
            return self.source.where(("scales", self.name))
        return self.source.where(("scales", self.name, "derive" if field in self.expressions else "set", field))


def stands_for(full: TrainConfig) -> dict[str, Operand]:
    """The variables of a scaled trial that record its full-scale trial."""
    ghosts = {} if full.ghost_batch_size is None else {PUBLISHED_GHOST_BATCH_SIZE: full.ghost_batch_size}
    return {
        PUBLISHED_MODEL: full.model,
        PUBLISHED_EPOCHS: full.epochs,
        PUBLISHED_BATCH_SIZE: full.batch_size,
        **ghosts,
    }


def parse_scales(loaded: LoadedSpace, variables: Iterable[str]) -> dict[str, Scaling]:
    """Parse all scales of the space, also those that are not used, so that mistakes show early.

    Args:
        variables: names that expressions may use besides the training fields.

    Raises:
        UserError: A field is unknown, or an expression is not valid.
    """
    source = loaded.source
    scales: dict[str, Scaling] = {}
    for name, scale in loaded.space.scales.items():
        for key in scale.set:
            with located(source.where(("scales", name, "set", key))):
                check_settable(key)
        expressions: dict[str, Expression] = {}
        for key, text in scale.derive.items():
            with located(source.where(("scales", name, "derive", key))):
                check_settable(key)
                expressions[key] = _parse(text, {*FIELD_NAMES, *variables})
        scales[name] = Scaling(name, scale.set, expressions, source)
    return scales


def find_scale(loaded: LoadedSpace, scales: Mapping[str, Scaling], name: str) -> Scaling:
    """The scale of this name.

    Raises:
        UserError: The space has no such scale. The message names those that it has.
    """
    if name in scales:
        return scales[name]
    if not scales:
        raise UserError(f"--scale {name}: the space {loaded.name!r} has no scales (no `scales:` in its file)")
    raise UserError(f"--scale {name}: no such scale in the space {loaded.name!r}: {nearest(name, scales)}")


def _parse(text: str, known: set[str]) -> Expression:
    expression = Expression(text)
    for name in sorted(name for name in expression.names - known if not is_field(name)):
        raise UserError(f"unknown name {name!r} in {text!r}: {nearest(name, sorted(known))}")
    return expression
