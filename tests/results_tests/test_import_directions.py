"""Which package may import which: the table in the architecture, read off the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("models", "trainable", "search_spaces", "results")
HEAVY = ("torch", "ray")
ALLOWED_FROM_TRAINABLE = {
    "results": {
        "config",
        "records",
        "ledger",
        "errors",
        "remote",
        "remote_ledger",
        "curves",
        "search_log",
        "trial_log",
    },
    "search_spaces": {"config", "records", "errors", "curves", "search_log", "execution", "gpu_share"},
}
ADAPTERS = {"trainable/tune_adapter.py", "sweep/driver/tune_run.py", "sweep/driver/trackers.py"}
KNOW_RAY = {*ADAPTERS, "sweep/search/scheduler.py"}


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it: `a.b` and `a.b.c` for `from a.b import c`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: its directions cannot be read off"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = [path for package in PACKAGES for path in files_of(package)]


def test_the_packages_are_found() -> None:
    assert {relative(path).partition("/")[0] for path in FILES} == set(PACKAGES)
    assert {relative(path) for path in FILES} >= ADAPTERS


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_ray_is_known_to_the_two_adapters_and_the_scheduler_only(path: Path) -> None:
    assert "ray" not in tops(path) or relative(path) in KNOW_RAY


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_optuna_is_known_to_searches_only(path: Path) -> None:
    assert not tops(path) & {"optuna", "cmaes"} or relative(path).startswith("sweep/search/")


@pytest.mark.parametrize("path", files_of("models"), ids=relative)
def test_models_know_torch_and_themselves(path: Path) -> None:
    outside = {name for name in tops(path) if name not in sys.stdlib_module_names}
    assert outside <= {"torch", "models"}


@pytest.mark.parametrize("path", files_of("trainable"), ids=relative)
def test_trainable_knows_nothing_of_what_uses_it(path: Path) -> None:
    assert not tops(path) & {"results", "search_spaces", "tune_main", "tests", "benchmarks"}


@pytest.mark.parametrize("path", files_of("search_spaces"), ids=relative)
def test_search_spaces_know_no_torch_and_no_results(path: Path) -> None:
    assert not tops(path) & {"torch", "torchvision", "results", "tune_main"}


@pytest.mark.parametrize("path", files_of("results"), ids=relative)
def test_results_know_neither_torch_nor_ray_nor_spaces(path: Path) -> None:
    assert not tops(path) & {"torch", "torchvision", "ray", "search_spaces", "tune_main"}


@pytest.mark.parametrize(
    "path", [p for p in FILES if relative(p).partition("/")[0] in ALLOWED_FROM_TRAINABLE], ids=relative
)
def test_only_the_light_part_of_trainable_is_used(path: Path) -> None:
    if relative(path) in ADAPTERS:
        return
    used = {name.split(".")[1] for name in imported(path) if name.startswith("trainable.")}
    assert used <= ALLOWED_FROM_TRAINABLE[relative(path).partition("/")[0]]


def loaded_by(*modules: str) -> set[str]:
    """Top-level names that a fresh interpreter holds after these imports."""
    code = f"import {', '.join(modules)}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(process.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "results.tables.layout",
        "results.published.tables",
        "results.published.counts",
        "results.lint.text",
        "results.parquet.files",
        "sweep.status.status",
        "search_spaces.listing",
        "sweep.observers.live_view",
        "sweep.estimate.forecast",
    ],
)
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    loaded = loaded_by(module)
    assert module.partition(".")[0] in loaded
    assert not loaded & {*HEAVY, "pandas", "scipy", "sklearn"}


def test_the_command_line_loads_almost_nothing() -> None:
    assert not loaded_by("tune_main") & {*HEAVY, "pandas", "numpy", "pyarrow", "pydantic", "matplotlib", "rich"}


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["table", "--published", "all"], {*HEAVY, "pandas", "scipy"}),
        (["plan", "--published"], {*HEAVY, "pandas", "scipy", "pyarrow"}),
        (["lint", "published"], {*HEAVY, "pandas"}),
    ],
)
def test_what_is_published_is_shown_without_anything_heavy(command: list[str], unwanted: set[str]) -> None:
    code = f"import tune_main, sys; tune_main.main({command}); print('loaded', {unwanted} & {{*sys.modules}})"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert process.stdout.splitlines()[-1] == "loaded set()"


def test_figures_load_no_torch_and_no_pyplot() -> None:
    """pyplot would look for a display and keep every figure alive."""
    code = "import results.figures.error_by_lr, sys; print({'matplotlib.pyplot', 'torch', 'ray'} & {*sys.modules})"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert process.stdout.strip() == "set()"
