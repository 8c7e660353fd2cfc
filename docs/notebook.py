"""The outputs of a notebook of docs/, without Jupyter."""

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
IMAGE = "image/svg+xml"


def refresh(text: str) -> str:
    """Run the code cells of a notebook in order, in its folder, and return it with their outputs.

    A figure that is there stays, since its bytes depend on the version of matplotlib.
    """
    notebook = json.loads(text)
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with contextlib.chdir(DOCS):
        for number, cell in enumerate(cells, start=1):
            cell["execution_count"] = number
            cell["outputs"] = [_kept(output, cell["outputs"]) for output in _outputs(cell, names)]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _outputs(cell: dict[str, Any], names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell; return what it prints, and the value of the expression at its end."""
    body = ast.parse("".join(cell["source"])).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)  # noqa: S102 (our own page)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last is not None else None  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        bundle = getattr(value, "_repr_mimebundle_", dict)() or {"text/plain": repr(value)}
        data = {kind: text if kind == IMAGE else text.splitlines(keepends=True) for kind, text in bundle.items()}
        number = cell["execution_count"]
        outputs.append(
            {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"},
        )
    return outputs


def _kept(output: dict[str, Any], before: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an output with the figure that was there before, if it shows one."""
    earlier = [old["data"][IMAGE] for old in before if IMAGE in old.get("data", {})]
    if earlier and IMAGE in output.get("data", {}):
        output["data"][IMAGE] = earlier[0]
    return output
