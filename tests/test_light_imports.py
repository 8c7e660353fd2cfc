"""What commands and light modules load: a command that needs neither torch nor Ray does not wait for them."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "ray")


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
        "results.lint.rules",
        "results.parquet.files",
        "sweep.status.status",
        "search_spaces.listing",
        "sweep.observers.live_view",
        "sweep.estimate.forecast",
        "sweep.serving.server",
    ],
)
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    loaded = loaded_by(module)
    assert module.partition(".")[0] in loaded
    assert not loaded & {*HEAVY, "pandas", "scipy", "sklearn"}


def test_search_spaces_and_results_load_neither_torch_nor_ray() -> None:
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for package in ("search_spaces", "results")
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    assert not loaded_by(*modules) & {*HEAVY, "optuna"}


def test_the_command_line_loads_almost_nothing() -> None:
    assert not loaded_by("batchscape", "tune_main", "cli.main") & {
        *HEAVY,
        "pandas",
        "numpy",
        "pyarrow",
        "pydantic",
        "matplotlib",
        "rich",
    }


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["table", "published"], {*HEAVY, "pandas", "scipy"}),
        (["plan", "published"], {*HEAVY, "pandas", "scipy", "pyarrow"}),
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


def test_a_search_loads_of_scipy_only_what_it_uses() -> None:
    """Loading what `mfgp` computes with takes 0.6 s, which every search would wait for."""
    code = (
        "import sweep.search.search, sys; print({'scipy.stats', 'scipy.optimize', 'scipy.linalg'} & {*sys.modules})"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert process.stdout.strip() == "set()"
