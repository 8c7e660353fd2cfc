"""The docstrings below the fields of a class, from which reference pages are made."""

import ast
import inspect
import sys


def field_docstrings(cls: type) -> dict[str, str]:
    """Map each annotated field of a class, or each member of an enum, to the docstring below it, on one line.

    The docstring is empty if there is none.
    """
    tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    found: dict[str, str] = {}
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            found[target.id] = " ".join(str(text).split())
    return found
