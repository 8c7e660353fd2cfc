"""The structure of the project: sizes, directions of import, words, the README and the docs. Never loosen it."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.parser import build_parser

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "trainable", "search_spaces", "results", "sweep", "cli")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
MAX_ENTRY_LINES = 40
MAX_README_LINES = 150
POOR_OPENINGS = ("Of", "That", "As", "Until")

MAY_IMPORT = {
    "models": set(),
    "trainable": {"models"},
    "search_spaces": {"models", "trainable"},
    "results": {"models", "trainable"},
    "sweep": {"models", "trainable", "search_spaces", "results"},
    "cli": {"models", "trainable", "search_spaces", "results", "sweep"},
    "tune_main": {"cli"},
    "batchscape": {"trainable", "results", "sweep", "cli"},
}
ROOMS_OF_RESULTS = {
    "store": set(),
    "parquet": {"store"},
    "tables": {"store", "parquet"},
    "published": {"store", "parquet", "tables"},
    "insight": {"store", "parquet", "tables", "published"},
    "statistics": {"store", "parquet", "tables", "published"},
    "lint": {"store", "parquet", "tables", "published", "insight"},
    "figures": {"store", "parquet", "tables", "published", "insight", "statistics", "lint"},
    "report": {"store", "parquet", "tables", "published", "insight", "statistics", "lint", "figures"},
}
"""Room -> the rooms that it may import."""
KNOWS_RAY = ("sweep/driver/", "trainable/tune_adapter.py")
KNOWS_OPTUNA = ("sweep/search/",)
KNOWS_TORCH = ("models/", "trainable/")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


MODULES = [ROOT / "batchscape.py", ROOT / "tune_main.py", *sources(*PACKAGES)]
ALL_CODE = [*MODULES, *sources("benchmarks", "tests", "docs")]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in ALL_CODE}
NAMES = {relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in MODULES}


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in it; lazy imports and type annotations included."""
    found: set[str] = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} imports relatively"
            assert node.module is not None
            found |= {
                name if (name := f"{node.module}.{alias.name}") in NAMES else node.module for alias in node.names
            }
    return found


IMPORTS = {path: imported(path) for path in MODULES}


def test_modules_are_short() -> None:
    long = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ALL_CODE}
    assert not {path: lines for path, lines in long.items() if lines > MAX_MODULE_LINES}
    assert long["tune_main.py"] <= MAX_ENTRY_LINES


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{relative(path)}:{node.lineno} {node.name}", node


def num_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_functions_fit_on_a_screen() -> None:
    assert not [where for where, function in functions() if num_lines(function) > MAX_FUNCTION_LINES]


def test_functions_take_few_parameters() -> None:
    assert not [where for where, function in functions() if num_parameters(function) > MAX_PARAMETERS]


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: {other for other in IMPORTS[path] if other in NAMES} for name, path in NAMES.items()}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not sorted(graph)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_packages_import_in_one_direction(path: Path) -> None:
    top = relative(path).partition("/")[0].removesuffix(".py")
    used = {name.partition(".")[0] for name in IMPORTS[path]} - {top}
    ours = used & {*PACKAGES, "batchscape", "tune_main", "tests", "benchmarks", "docs"}
    assert ours <= MAY_IMPORT[top]


@pytest.mark.parametrize("path", sources("results"), ids=relative)
def test_rooms_of_results_import_in_one_direction(path: Path) -> None:
    parts = path.relative_to(ROOT / "results").parts
    used = {name.split(".")[1] for name in IMPORTS[path] if name.startswith("results.")}
    assert len(parts) > 1 or path.name == "__init__.py", "every module of results lies in a room"
    assert used <= {parts[0], *ROOMS_OF_RESULTS.get(parts[0], set())}


@pytest.mark.parametrize(
    ("packages", "knowing"),
    [({"ray"}, KNOWS_RAY), ({"optuna", "cmaes"}, KNOWS_OPTUNA), ({"torch", "torchvision"}, KNOWS_TORCH)],
    ids=["ray", "optuna", "torch"],
)
def test_heavy_packages_are_known_to_few(packages: set[str], knowing: tuple[str, ...]) -> None:
    using = [relative(path) for path in MODULES if {name.partition(".")[0] for name in IMPORTS[path]} & packages]
    assert using
    assert not [path for path in using if not path.startswith(knowing)]


def test_docstrings_begin_as_sentences() -> None:
    found = []
    for path in ALL_CODE:
        for text in re.findall(r'"""\s*(\w+)', path.read_text(encoding="utf-8")):
            if text in POOR_OPENINGS:
                found.append(f"{relative(path)}: {text}")
    assert not found


def test_loop_variables_have_names() -> None:
    loops = [
        f"{relative(path)}:{node.target.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.For | ast.comprehension)
        and isinstance(node.target, ast.Name)
        and node.target.id == "one"
    ]
    assert not loops


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown renderer gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The arguments of every command line of ours in the page's code blocks and spans."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in [*lines, *spans]:
        match = re.match(r"(?:\$ )?(?:\S*python\S* tune_main\.py|batchscape) (.+)$", line.strip())
        if match and "..." not in line and "COMMAND" not in line:
            words = shlex.split(re.split(r" [>|] ", match[1])[0], comments=True)
            if line not in spans or len(words) > 1:  # a span may name a command without all that it needs
                found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_parse(page: Path) -> None:
    parser = build_parser()
    for arguments in commands(page):
        try:
            parser.parse_args(arguments)
        except SystemExit as end:
            assert end.code == 0, f"batchscape {' '.join(arguments)}"
