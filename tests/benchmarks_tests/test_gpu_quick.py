"""The GPU benchmark on a processor, as `--device cpu --quick` runs it: all sections, one JSON file, one last line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """The JSON and the lines printed."""
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--quick", "--to", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    (path,) = folder.iterdir()
    assert path.name.startswith("gpu-")
    return json.loads(path.read_text()), process.stdout.splitlines()


def test_every_section_has_figures(quick: tuple[dict[str, Any], list[str]]) -> None:
    sections = quick[0]["sections"]
    assert list(sections) == ["speed", "correctness", "precision", "sharing", "limits"]
    assert [cell["batch_size"] for cell in sections["speed"]["cells"]] == [32, 8]
    assert set(sections["speed"]["cells"][0]["variants"]) == {"eager", "graph"}
    assert set(sections["precision"]["cells"][0]["variants"]) == {"bf16", "fp16", "fp32"}
    assert [cell["num_processes"] for cell in sections["sharing"]["cells"]] == [1, 2]
    assert {row["format"] for row in sections["limits"]["matrix_products"]} == {"bf16", "fp16", "fp32"}
    assert not any("failed" in section for section in sections.values())


def test_on_a_processor_all_ways_give_the_same_bits(quick: tuple[dict[str, Any], list[str]]) -> None:
    for cell in quick[0]["sections"]["correctness"]["cells"]:
        for pair in (
            "eager again against eager",
            "graph against eager",
            "graph resumed against uninterrupted",
        ):
            assert cell[pair]["losses_bit_equal"]
            assert cell[pair]["weights_bit_equal"]
            assert cell[pair]["largest_loss_difference"] == 0
        assert len(cell["losses"]["graph"]) == 2 * cell["num_epochs"]


def test_what_was_not_to_be_had_is_said(quick: tuple[dict[str, Any], list[str]]) -> None:
    figures, _ = quick
    assert figures["sections"]["speed"]["left_out"] == ["compile"]
    assert figures["sections"]["sharing"]["mps_unavailable"] == ["the device is a processor"]
    assert figures["data"] == {"name": "noise", "is_random": True, "num_train": 1000, "num_test": 200}
    assert figures["is_quick"]


def test_it_ends_with_the_line_for_the_readme(quick: tuple[dict[str, Any], list[str]]) -> None:
    figures, lines = quick
    assert lines[-1] == figures["readme_line"]
    assert lines[-1].startswith(f"On one {figures['device']['name']}: ResNet-preact-20 trains at ")
    assert "the whole seed (71 of 73 trainings, fp32) in about" in lines[-1]


def test_a_folder_without_data_is_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--data", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert "holds neither" in process.stderr


def test_neither_ray_nor_a_plotting_library_is_loaded() -> None:
    code = "import benchmarks.gpu, sys; print({'ray', 'pydantic', 'matplotlib', 'rich', 'sklearn'} & {*sys.modules})"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert process.stdout.strip() == "set()"
