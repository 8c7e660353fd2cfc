"""Formats that this machine's CPU emulates are told, since they take many times longer."""

from pathlib import Path

import pytest

from search_spaces.loader import load_space
from search_spaces.resources import ResourceRule
from sweep.driver.capacity import Node
from sweep.plan.emulation import emulation_notes
from tests.results_tests.result_samples import make_config
from trainable.config import PlannedTrial

TRIALS = [PlannedTrial(make_config(precision=name), 0, {}) for name in ("auto", "fp32", "fp16", "bf16", "pure_fp16")]
SLOWER = "which this CPU emulates, many times slower than fp32: give `precision: fp32` or `auto`, or use a GPU"


@pytest.mark.parametrize(
    ("cpu", "gpus", "slow"),
    [
        ("flags\t: fpu avx2", 0, ["bf16", "fp16", "pure_fp16"]),
        ("flags\t: fpu avx512bw avx512_bf16", 0, ["fp16", "pure_fp16"]),
        ("flags\t: fpu avx512bw avx512_fp16", 0, []),
        ("flags\t: fpu avx2", 1, []),
        ("Features\t: fp asimd", 0, []),
        (None, 0, []),
    ],
)
def test_formats_without_support_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: str | None, gpus: int, slow: list[str]
) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr("sweep.plan.emulation.CPU_INFO", info)
    if cpu is not None:
        info.write_text(f"processor\t: 0\n{cpu}\n")
    notes = emulation_notes(TRIALS, ResourceRule(load_space("quickstart"), None, None), Node(2.0, gpus))
    assert notes == [f"1 trial is in {name}, {SLOWER}" for name in slow]
