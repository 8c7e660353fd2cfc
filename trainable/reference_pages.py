"""Pages of docs/ that are partly made from the code: the docstrings of fields, and tables in a page."""

import ast
import inspect
import re
import sys
from collections.abc import Mapping, Sequence

BLOCK = re.compile(r"<!-- made: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def refreshed(page: str, made: Mapping[str, str]) -> str:
    """Replace what stands in a page between each `<!-- made: NAME -->` and `<!-- end -->`.

    Args:
        made: name -> the new text.
    """
    return BLOCK.sub(lambda found: f"<!-- made: {found[1]} -->\n\n{made[found[1]]}\n<!-- end -->", page)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with all columns aligned to the left."""
    lines = [[cell.replace("|", r"\|") for cell in line] for line in [header, [":--"] * len(header), *rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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
