"""Shares of a GPU on a Ray that was told of a GPU that does not exist: what is measured, reserved and printed."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.integration_tests.processes import family, holder, kill
from tests.integration_tests.running_sweeps import Start, end_of, figures, trained_here, wait_for_epochs
from trainable.config import TrainConfig
from trainable.ledger.files import LOCK
from trainable.ledger.reading import read_trial
from trainable.records import Status

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


BESIDE = """
name: beside
defaults: {model: resnet_preact_8, epochs: 20, train_subset: 256, test_subset: 20, precision: fp32}
grid: {batch_size: [16, 32], seed: [0, 1]}
resources: {cpus: 0.5}
"""
ON_STREAMS = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT)!r})
from search_spaces.resources import ResourceRule
share = ResourceRule.share
ResourceRule.share = lambda *given, **named: dataclasses.replace(share(*given, **named), streams=True)
from cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""A driver whose trials train on streams; without a GPU these are only threads."""


@pytest.mark.faults
def test_trials_beside_each_other_in_one_process_that_is_killed(tmp_path: Path) -> None:
    """They train in one process; when it is killed each resumes in its own, and none is blamed."""
    space, store = tmp_path / "beside.yaml", tmp_path / "store"
    space.write_text(BESIDE)
    command = [sys.executable, "-c", ON_STREAMS, "run", str(space), "--store", str(store), "--max-concurrent", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        try:
            wait_for_epochs(store, 4)
            [host] = [pid for pid, title in family(driver.pid).items() if "TrialHost" in title]
            holders = {holder(driver.pid, folder / LOCK) for folder in store.glob("trials/*")}
            kill([host])
            ended = end_of(driver)
        finally:
            driver.kill()
    assert holders <= {host, None}
    assert (ended.returncode, ended.stderr) == (0, "")
    interrupted = 0
    for folder in store.glob("trials/*"):
        trial = read_trial(folder)
        assert trial.end is not None
        assert trial.end.status is Status.COMPLETE
        executions = [attempt.execution for attempt in trial.attempts]
        assert executions in (["eager streams"], ["eager streams", "eager"])
        interrupted += len(executions) - 1
        assert figures(trial.epochs) == trained_here(TrainConfig.from_dict(trial.config), tmp_path / folder.name)
    assert interrupted == 2
