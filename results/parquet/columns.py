"""What each column means, read from the docstrings of the records' fields, so that it is written once."""

import ast
import functools
import inspect
from types import ModuleType

from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from trainable import config, records


@functools.cache
def trials_columns() -> dict[str, str]:
    """Column of `trials` -> what it means, in the table's order."""
    described = _described(config, "TrainConfig") | _described(records, "TrialRow")
    return {name: described[name] for name in TRIALS_SCHEMA.names}


@functools.cache
def epochs_columns() -> dict[str, str]:
    """Column of `epochs` -> what it means, in the table's order."""
    described = _described(records, "TrialKey") | _described(records, "EpochRecord")
    return {name: described[name] for name in EPOCHS_SCHEMA.names}


def _described(module: ModuleType, class_name: str) -> dict[str, str]:
    """Field -> the docstring that stands below it; empty where there is none."""
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    described: dict[str, str] = {}
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            described[node.target.id] = " ".join(str(text).split())
    return described
