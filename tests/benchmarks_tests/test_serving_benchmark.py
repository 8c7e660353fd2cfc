"""The quick form of `benchmarks/serving.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.faults
def test_the_quick_form_measures_every_case(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--quick", "--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "serving.json").read_text())
    assert list(report["slowdown"]) == ["no server", "0 pages", "1 page", "5 pages"]
    assert report["answers"]["nothing new"]["bytes"] == 0
    assert 0 < report["peak bytes"] < 300e6
