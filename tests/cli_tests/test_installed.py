"""`pip install .` gives a command that works outside of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

LEFT_OUT = shutil.ignore_patterns(".*", "runs", "tests", "benchmarks", "deploy", "docs", "examples", "__pycache__")


def test_the_installed_command_runs_elsewhere(tmp_path: Path) -> None:
    source, target, elsewhere = tmp_path / "source", tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def batchscape(*arguments: str) -> str:
        command = [sys.executable, str(target / "bin" / "batchscape"), *arguments]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert batchscape("--version").startswith("batchscape ")
    assert "quickstart" in batchscape("spaces")
    assert "ResNet-110" in batchscape("table", "published", "main")
    assert "`batchscape run quickstart`" in batchscape("list")
    trained = batchscape(
        "train",
        "resnet_preact_8",
        "--set",
        "epochs=1",
        "--set",
        "train_subset=64",
        "--set",
        "batch_size=32",
        "--threads",
        "1",
    )
    assert "COMPLETE" in trained
    (elsewhere / "models.py").touch()
    from_python = "from batchscape import load; print(load('published').table('main'))"
    command = [sys.executable, "-c", from_python]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    assert "ResNet-110" in done.stdout
