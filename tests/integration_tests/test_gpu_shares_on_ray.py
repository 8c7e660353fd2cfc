"""Shares of a GPU on a Ray that was told of a GPU that does not exist: what is measured, reserved and printed."""

import json
import platform
from pathlib import Path

import pytest
import torch

from tests.integration_tests.running_sweeps import Start, end_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
]
SPACE = """
name: shared
defaults: {model: resnet_preact_8, epochs: 1, train_subset: 64, test_subset: 10, precision: fp32}
grid: {batch_size: [16, 32]}
resources: {cpus: 0.5, gpus: auto}
"""


def test_shares_are_measured_before_and_a_gpu_that_torch_does_not_find_is_reported(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps({"GPU": 1}))
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    ended = end_of(start(str(space), tmp_path / "store"))
    assert "measuring how many trials share a GPU: 2 configurations ...\n" in ended.stdout
    for batch_size in (16, 32):  # of whose memory nothing is known, so that they do not share
        assert f"  resnet_preact_8, batch size {batch_size}, fp32: gpus 1, " in ended.stdout
    assert ended.returncode == 1
    worker = f"the node {platform.node()} gave this trial 1 GPU, and its torch {torch.__version__}"
    reason = f"RuntimeError: {worker} finds none"
    assert ended.stderr.count(f"{reason}: install the CUDA build there\n") == 2
